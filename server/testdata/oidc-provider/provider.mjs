// A provider that others wrote, npm's oidc-provider, at which people of a running Keizer sign in. It is told its one client and its one
// person as the first line on standard input, prints its issuer, and ends with its input. The pages are a few lines of our own, whose
// controls have ids; whoever signs in has consented.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { Provider } from 'oidc-provider'

const lines = createInterface({ input: process.stdin })
const told = JSON.parse(await new Promise((resolve) => lines.once('line', resolve)))
lines.on('close', () => process.exit(0))

const server = createServer()
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${server.address().port}`

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const provider = new Provider(issuer, {
  clients: [{
    client_id: told.client_id,
    client_secret: told.client_secret,
    redirect_uris: [told.redirect_uri],
    grant_types: ['authorization_code', 'refresh_token'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: 'ES256'
  }],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256' }] },
  cookies: { keys: [randomBytes(32).toString('hex')] },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  pkce: { required: () => true },
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  findAccount: (_, id) => id === told.person.sub
    ? { accountId: id, claims: () => told.person }
    : undefined,
  loadExistingGrant: async (ctx) => {
    const { client, session, provider } = ctx.oidc
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
    grant.addOIDCScope('openid profile email')
    await grant.save()
    return grant
  }
})

const pages = provider.callback()
server.on('request', async (request, response) => {
  if (!request.url.startsWith('/interaction/')) return pages(request, response)
  try {
    if (request.method === 'POST') {
      let body = ''
      for await (const chunk of request) body += chunk
      const form = new URLSearchParams(body)
      const result = form.get('do') === 'cancel'
        ? { error: 'access_denied', error_description: 'The person has changed their mind' }
        : { login: { accountId: form.get('login') } }
      return await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false })
    }
    const { prompt, params } = await provider.interactionDetails(request, response)
    if (prompt.name !== 'login') throw new Error(`asked for ${prompt.name}: ${prompt.reasons}`)
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
    response.end(`<!doctype html><html lang="en"><title>Elsewhere</title><h1 id="page-title">Elsewhere</h1>
<form method="post"><label for="login">Who are you?</label> <input id="login" name="login" value="${params.login_hint === told.person.email ? told.person.sub : ''}">
<button id="enter" name="do" value="enter">Enter</button> <button id="cancel" name="do" value="cancel">Cancel</button></form>`)
  } catch (failure) {
    console.error(failure)
    response.writeHead(500).end()
  }
})
provider.on('server_error', (_, failure) => console.error(failure))
provider.on('grant.error', (_, failure) => console.error(failure.error, failure.error_detail ?? failure.error_description))

console.log(issuer)
