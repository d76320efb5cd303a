# The image holds one static binary, the certificates it trusts, and an empty folder it may write to. There is no shell in it.
#
#   docker build -t keizer .

FROM golang:1.26-bookworm AS build
WORKDIR /src
# The modules change less often than the code, and so keep a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
# The history comes along, since the go command reads from it which release this is; `keizer version` says so.
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -tags nomsgpack -ldflags "-s -w" -o /out/keizer ./cmd/keizer \
 && mkdir /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/keizer /keizer
# A number, not a name: the image has no /etc/passwd, and an orchestrator that demands a non-root user can read a number only.
COPY --from=build --chown=65532:65532 /out/data /var/lib/keizer
USER 65532:65532
WORKDIR /var/lib/keizer
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/keizer", "healthcheck"]
# SIGTERM is what keizer drains on; it is docker's own default, written down because shutdown depends on it.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/keizer"]
CMD ["serve"]
