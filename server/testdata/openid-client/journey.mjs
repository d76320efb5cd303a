// A whole sign-in at a running Keizer by a client that others wrote: npm's openid-client, with a browser of a few lines
// that fills in the pages' forms by their ids. It is told what it needs on standard input and knows nothing else but
// the discovery document. Every step prints one line; the first that fails ends it with status 1.

import assert from 'node:assert/strict'
import * as client from 'openid-client'
import * as oauth from 'oauth4webapi'

const told = JSON.parse(await readAll(process.stdin))
const issuer = new URL(told.issuer)

async function readAll(stream) {
  let text = ''
  for await (const chunk of stream) text += chunk
  return text
}

async function step(name, deed) {
  try {
    const result = await deed()
    console.log(`ok - ${name}`)
    return result
  } catch (failure) {
    console.log(`not ok - ${name}`)
    console.error(failure, failure.cause ?? '')
    process.exit(1)
  }
}

// refused says that a promise must fail with an OAuth error.
async function refused(promise, code, status) {
  await assert.rejects(promise, (failure) => {
    const got = failure.error ?? failure.cause?.error
    assert.equal(got, code, `expected ${code}: ${failure}`)
    if (status !== undefined) assert.equal(failure.status, status)
    return true
  })
}

// Browser keeps cookies of one origin and reads forms; it stops where a redirect leads to another origin.
class Browser {
  cookies = new Map()

  async request(url, init = {}) {
    for (let hops = 0; hops < 20; hops++) {
      const response = await fetch(url, {
        ...init,
        redirect: 'manual',
        headers: { ...init.headers, cookie: [...this.cookies].map(([k, v]) => `${k}=${v}`).join('; ') },
      })
      for (const line of response.headers.getSetCookie()) {
        const [pair, ...attributes] = line.split(';').map((part) => part.trim())
        const at = pair.indexOf('=')
        const gone = attributes.some((a) => /^max-age=(0|-)/i.test(a))
        if (gone) this.cookies.delete(pair.slice(0, at))
        else this.cookies.set(pair.slice(0, at), pair.slice(at + 1))
      }
      const location = response.headers.get('location')
      if (response.status < 300 || response.status > 399 || location === null) {
        return new Page(this, url, response.status, response.headers, await response.text())
      }
      assert.ok([302, 303].includes(response.status), `a redirect of status ${response.status}`)
      url = new URL(location, url)
      if (url.origin !== issuer.origin) return url
      init = {}
    }
    throw new Error('too many redirects')
  }
}

// Page is as much of HTML as the pages' own forms need.
class Page {
  constructor(browser, url, status, headers, body) {
    Object.assign(this, { browser, url, status, headers, body })
    this.title = unescape(/<h1[^>]*id="?page-title"?[^>]*>([^<]*)</.exec(body)?.[1] ?? '').trim()
    this.forms = []
    let form
    for (const [, end, name, raw] of body.matchAll(/<(\/?)(form|input|button)\b([^>]*)>/g)) {
      const attributes = {}
      for (const [, key, quoted, bare] of raw.matchAll(/([a-z-]+)(?:="([^"]*)"|=([^\s"]+))?/g)) {
        attributes[key] = unescape(quoted ?? bare ?? '')
      }
      if (name === 'form') {
        form = end ? undefined : { ...attributes, controls: [] }
        if (form) this.forms.push(form)
      } else if (!end && form) {
        form.controls.push({ kind: name, ...attributes })
      }
    }
  }

  // press fills in fields by id and sends the form of the button by its id.
  press(button, filled = {}) {
    const form = this.forms.find((f) => f.controls.some((c) => c.id === button))
    assert.ok(form, `"${this.title}" at ${this.url} (status ${this.status}) has no #${button}:\n${this.body}`)
    const values = new URLSearchParams()
    for (const c of form.controls) {
      if (!c.name || 'disabled' in c) continue
      if ((c.kind === 'button' || c.type === 'submit') && c.id !== button) continue
      if ((c.type === 'checkbox' || c.type === 'radio') && !('checked' in c)) continue
      values.append(c.name, filled[c.id] ?? c.value ?? '')
    }
    const target = new URL(form.controls.find((c) => c.id === button).formaction ?? form.action ?? '', this.url)
    assert.equal(form.method?.toLowerCase(), 'post')
    return this.browser.request(target, { method: 'POST', body: values })
  }
}

function unescape(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
  return text.replace(/&(#x?[0-9a-f]+|[a-z]+);/gi, (whole, name) => {
    if (name[0] !== '#') return named[name] ?? whole
    return String.fromCodePoint(name[1] === 'x' ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10))
  })
}

// signIn walks from an authorization address to the redirect URI and returns where it ends.
async function signIn(browser, address, { consent = 'consent-allow' } = {}) {
  let page = await browser.request(address)
  if (page.title === 'Sign in') {
    assert.equal(page.url.pathname, new URL(told.issuer + '/login').pathname)
    page = await page.press('login-submit', { username: told.username, password: told.password })
  }
  if (page.title === 'Allow access') page = await page.press(consent)
  return page
}

// begin makes an authorization request and what its answer will be checked against.
async function begin(config, parameters, build = client.buildAuthorizationUrl) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier()
  const expectedState = client.randomState()
  const expectedNonce = client.randomNonce()
  const address = await build(config, {
    state: expectedState,
    nonce: expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...parameters,
  })
  return { address, checks: { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true } }
}

function discover(party, authentication, metadata = {}) {
  return client.discovery(issuer, party.client_id, { client_secret: party.client_secret, ...metadata }, authentication, {
    // The server under test stands on this machine, without TLS. The signature of every ID token is checked, although
    // it came straight from the token endpoint.
    execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks],
  })
}

const browser = new Browser()
const { web } = told
const scope = 'openid profile email offline_access'

const config = await step('discovery', async () => {
  const found = await discover(web, client.ClientSecretBasic(web.client_secret), { id_token_signed_response_alg: 'RS256' })
  const metadata = found.serverMetadata()
  assert.equal(metadata.issuer, told.issuer)
  assert.ok(metadata.supportsPKCE())
  assert.equal(metadata.authorization_response_iss_parameter_supported, true)
  return found
})

await step('discovery as an OAuth 2.0 authorization server (RFC 8414)', async () => {
  const found = await client.discovery(issuer, web.client_id, web.client_secret, undefined, {
    algorithm: 'oauth2',
    execute: [client.allowInsecureRequests],
  })
  assert.equal(found.serverMetadata().token_endpoint, config.serverMetadata().token_endpoint)
})

const tokens = await step('authorization code with PKCE, client_secret_basic, RS256', async () => {
  const { address, checks } = await begin(config, { redirect_uri: web.redirect_uri, scope, max_age: '3600', login_hint: told.username })
  const back = await signIn(browser, address)
  assert.ok(back instanceof URL, `the walk ended on the page "${back.title}"`)
  const got = await client.authorizationCodeGrant(config, back, { ...checks, maxAge: 3600 })
  const claims = got.claims()
  assert.equal(claims.iss, told.issuer)
  assert.equal(claims.aud, web.client_id)
  assert.ok(claims.auth_time <= claims.iat)
  assert.ok(got.refresh_token)
  assert.equal(got.token_type, 'bearer')
  await refused(client.authorizationCodeGrant(config, back, checks), 'invalid_grant', 400)
  return got
})

await step('the replayed code ended what it had been given', async () => {
  await refused(client.refreshTokenGrant(config, tokens.refresh_token), 'invalid_grant', 400)
})

const second = await step('a second sign-in uses the session and the remembered consent', async () => {
  const { address, checks } = await begin(config, { redirect_uri: web.redirect_uri, scope, prompt: 'none', id_token_hint: tokens.id_token })
  const back = await browser.request(address)
  assert.ok(back instanceof URL, `a page was shown: "${back.title}"`)
  const got = await client.authorizationCodeGrant(config, back, checks)
  assert.equal(got.claims().sub, tokens.claims().sub)
  return got
})

const { sub } = second.claims()

await step('userinfo', async () => {
  const claims = await client.fetchUserInfo(config, second.access_token, sub)
  assert.equal(claims.email, told.email)
  assert.equal(claims.email_verified, true)
  assert.equal(claims.name, told.name)
})

const refreshed = await step('refresh rotates', async () => {
  const got = await client.refreshTokenGrant(config, second.refresh_token)
  assert.ok(got.refresh_token)
  assert.notEqual(got.refresh_token, second.refresh_token)
  assert.equal(got.claims().sub, sub)
  assert.equal(got.claims().auth_time, second.claims().auth_time)
  await client.fetchUserInfo(config, got.access_token, sub)
  return got
})

await step('introspection', async () => {
  const seen = await client.tokenIntrospection(config, refreshed.access_token)
  assert.equal(seen.active, true)
  assert.equal(seen.sub, sub)
  assert.equal(seen.client_id, web.client_id)
  assert.deepEqual(seen.scope.split(' ').sort(), scope.split(' ').sort())
  assert.deepEqual(await client.tokenIntrospection(config, 'no-such-token'), { active: false })
})

await step('revocation ends the family', async () => {
  await client.tokenRevocation(config, refreshed.refresh_token)
  assert.deepEqual(await client.tokenIntrospection(config, refreshed.access_token), { active: false })
  await refused(client.refreshTokenGrant(config, refreshed.refresh_token), 'invalid_grant', 400)
  await client.tokenRevocation(config, 'no-such-token')
})

await step('a wrong code verifier', async () => {
  const { address, checks } = await begin(config, { redirect_uri: web.redirect_uri, scope: 'openid' })
  const back = await signIn(browser, address)
  const wrong = { ...checks, pkceCodeVerifier: client.randomPKCECodeVerifier() }
  await refused(client.authorizationCodeGrant(config, back, wrong), 'invalid_grant', 400)
  await refused(client.authorizationCodeGrant(config, back, checks), 'invalid_grant', 400)
})

await step('form_post, client_secret_post, ES256', async () => {
  const { post } = told
  const config = await discover(post, client.ClientSecretPost(post.client_secret), { id_token_signed_response_alg: 'ES256' })
  const { address, checks } = await begin(config, { redirect_uri: post.redirect_uri, scope: 'openid email', response_mode: 'form_post' })
  const page = await signIn(browser, address)
  assert.equal(page.status, 200)
  assert.equal(page.forms.length, 1)
  assert.equal(page.forms[0].action, post.redirect_uri)
  const values = new URLSearchParams()
  for (const c of page.forms[0].controls) if (c.name) values.append(c.name, c.value)
  const request = new Request(post.redirect_uri, { method: 'POST', body: values })
  const got = await client.authorizationCodeGrant(config, request, checks)
  assert.equal(got.refresh_token, undefined, 'a refresh token without offline_access')
  assert.equal((await client.fetchUserInfo(config, got.access_token, sub)).email, told.email)
})

await step('a public client on a loopback port of its own, EdDSA', async () => {
  const { native } = told
  const config = await discover(native, client.None(), { id_token_signed_response_alg: 'EdDSA' })
  const redirect_uri = native.redirect_uri.replace('127.0.0.1', '127.0.0.1:51004')
  const { address, checks } = await begin(config, { redirect_uri, scope: 'openid profile' })
  const back = await signIn(browser, address)
  assert.ok(back instanceof URL, `the walk ended on the page "${back.title}"`)
  const got = await client.authorizationCodeGrant(config, back, checks)
  assert.equal(got.claims().sub, sub)
  assert.equal((await client.fetchUserInfo(config, got.access_token, sub)).name, told.name)
})

await step('a refused consent', async () => {
  const { native } = told
  const config = await discover(native, client.None())
  const { address, checks } = await begin(config, { redirect_uri: native.redirect_uri, scope: 'openid email', prompt: 'consent' })
  const back = await signIn(browser, address, { consent: 'consent-deny' })
  await refused(client.authorizationCodeGrant(config, back, checks), 'access_denied')
})

await step('client_credentials', async () => {
  const { service } = told
  const config = await discover(service, client.ClientSecretBasic(service.client_secret))
  const got = await client.clientCredentialsGrant(config, { scope: 'read' })
  assert.equal(got.scope ?? 'read', 'read')
  assert.equal(got.refresh_token, undefined)
  assert.equal(got.id_token, undefined)
  assert.equal((await client.tokenIntrospection(config, got.access_token)).active, true)
  await refused(client.clientCredentialsGrant(config, { scope: 'admin' }), 'invalid_scope', 400)
  const stranger = await discover({ ...service, client_secret: 'wrong' }, client.ClientSecretBasic('wrong'))
  await assert.rejects(client.clientCredentialsGrant(stranger, { scope: 'read' }), (failure) => {
    assert.equal(failure.status ?? failure.cause?.status, 401, String(failure))
    return true
  })
})

await step('private_key_jwt', async () => {
  const { signed } = told
  const { alg, kid } = signed.key
  const key = await crypto.subtle.importKey('jwk', signed.key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  assert.equal(alg, 'ES256')
  const config = await discover({ client_id: signed.client_id }, client.PrivateKeyJwt({ key, kid }))
  const got = await client.clientCredentialsGrant(config, { scope: 'read' })
  assert.equal((await client.tokenIntrospection(config, got.access_token)).active, true)
  await client.tokenRevocation(config, got.access_token)
  assert.deepEqual(await client.tokenIntrospection(config, got.access_token), { active: false })
})

await step('client_secret_jwt', async () => {
  const { asserting } = told
  const config = await discover(asserting, client.ClientSecretJwt(asserting.client_secret))
  const got = await client.clientCredentialsGrant(config, { scope: 'read' })
  assert.equal((await client.tokenIntrospection(config, got.access_token)).active, true)
  await client.tokenRevocation(config, got.access_token)
  assert.deepEqual(await client.tokenIntrospection(config, got.access_token), { active: false })
  const stranger = await discover(asserting, client.ClientSecretJwt('x'.repeat(40)))
  await refused(client.clientCredentialsGrant(stranger, { scope: 'read' }), 'invalid_client', 400)
})

await step('ID token, userinfo and introspection signed by PS256 and encrypted', async () => {
  const { secretive } = told
  const key = await crypto.subtle.importKey('jwk', secretive.key, { name: 'ECDH', namedCurve: 'P-256' }, false, ['deriveBits'])
  const config = await discover(secretive, client.ClientSecretBasic(secretive.client_secret), {
    id_token_signed_response_alg: 'PS256', userinfo_signed_response_alg: 'PS256', introspection_signed_response_alg: 'PS256',
  })
  client.enableDecryptingResponses(config, ['A128GCM', 'A256GCM'], { key, alg: 'ECDH-ES', kid: secretive.key.kid })
  const { address, checks } = await begin(config, { redirect_uri: secretive.redirect_uri, scope: 'openid profile email' })
  const back = await signIn(browser, address)
  assert.ok(back instanceof URL, `the walk ended on the page "${back.title}"`)
  const got = await client.authorizationCodeGrant(config, back, checks)
  assert.equal(got.id_token.split('.').length, 5)
  assert.equal(got.claims().sub, sub)
  assert.equal((await client.fetchUserInfo(config, got.access_token, sub)).email, told.email)
  const seen = await client.tokenIntrospection(config, got.access_token)
  assert.equal(seen.active, true)
  assert.equal(seen.sub, sub)
})

await step('a request that is signed, in the address and pushed (RFC 9101)', async () => {
  const { kid, ...jwk } = told.signed.key
  const key = await crypto.subtle.importKey('jwk', jwk, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  for (const pushed of [false, true]) {
    const { address, checks } = await begin(config, { redirect_uri: web.redirect_uri, scope: 'openid email', max_age: '3600', prompt: 'none' })
    let signed = await client.buildAuthorizationUrlWithJAR(config, address.searchParams, { key, kid })
    assert.deepEqual([...signed.searchParams.keys()].sort(), ['client_id', 'request'])
    if (pushed) signed = await client.buildAuthorizationUrlWithPAR(config, signed.searchParams)
    const answer = await browser.request(signed)
    assert.ok(answer instanceof URL, `a page was shown: "${answer.title}"`)
    const got = await client.authorizationCodeGrant(config, answer, { ...checks, maxAge: 3600 })
    assert.equal(got.scope, 'openid email')
  }
})

await step('a client that registers itself, signs somebody in and looks after its registration', async () => {
  const { redirect_uri, token } = told.registration
  const registered = await client.dynamicClientRegistration(
    issuer,
    { client_name: 'Registered', redirect_uris: [redirect_uri], grant_types: ['authorization_code', 'refresh_token'] },
    client.ClientSecretBasic(),
    { initialAccessToken: token, execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
  )
  const about = registered.clientMetadata()
  assert.equal(about.client_secret_expires_at, 0)
  const { address, checks } = await begin(registered, { redirect_uri, scope })
  const back = await signIn(browser, address)
  assert.ok(back instanceof URL, `the walk ended on the page "${back.title}"`)
  const got = await client.authorizationCodeGrant(registered, back, checks)
  assert.equal(got.claims().sub, sub)
  assert.ok((await client.refreshTokenGrant(registered, got.refresh_token)).access_token)

  const headers = { authorization: `Bearer ${about.registration_access_token}` }
  const read = await (await fetch(about.registration_client_uri, { headers })).json()
  assert.equal(read.client_id, about.client_id)
  assert.equal((await fetch(about.registration_client_uri, { method: 'DELETE', headers })).status, 204)
  assert.equal((await fetch(about.registration_client_uri, { headers })).status, 401)
  await assert.rejects(
    client.dynamicClientRegistration(issuer, { redirect_uris: [redirect_uri] }, undefined, { execute: [client.allowInsecureRequests] }),
    'nobody is registered without a token',
  )
})

await step('a pushed request', async () => {
  const { address, checks } = await begin(config, { redirect_uri: web.redirect_uri, scope: 'openid' }, client.buildAuthorizationUrlWithPAR)
  assert.deepEqual([...address.searchParams.keys()].sort(), ['client_id', 'request_uri'])
  const got = await client.authorizationCodeGrant(config, await signIn(browser, address), checks)
  assert.equal(got.claims().sub, sub)
})

await step('hybrid: a code and an ID token', async () => {
  const { legacy } = told
  const config = await discover(legacy, client.ClientSecretBasic(legacy.client_secret))
  client.useCodeIdTokenResponseType(config)
  const { address, checks } = await begin(config, { redirect_uri: legacy.redirect_uri, scope: 'openid email' })
  const back = await signIn(browser, address)
  assert.ok(back.hash.includes('code=') && back.hash.includes('id_token='), String(back))
  const got = await client.authorizationCodeGrant(config, back, checks)
  assert.equal(got.claims().sub, sub)
})

await step('implicit: an ID token', async () => {
  const { legacy } = told
  const config = await discover(legacy, client.None())
  client.useIdTokenResponseType(config)
  const expectedNonce = client.randomNonce()
  const address = client.buildAuthorizationUrl(config, { redirect_uri: legacy.redirect_uri, scope: 'openid email', nonce: expectedNonce })
  const claims = await client.implicitAuthentication(config, await signIn(browser, address), expectedNonce)
  assert.equal(claims.sub, sub)
  assert.equal(claims.email, told.email)
})

await step('a signed request, by a client that proves itself by its key and has userinfo signed', async () => {
  const { asking } = told
  const key = await crypto.subtle.importKey('jwk', asking.key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  const pair = { key, kid: asking.key.kid }
  const config = await discover({ client_id: asking.client_id }, client.PrivateKeyJwt(pair), { userinfo_signed_response_alg: 'ES256' })
  const { address, checks } = await begin(config, { redirect_uri: asking.redirect_uri, scope: 'openid email' }, (config, parameters) =>
    client.buildAuthorizationUrlWithJAR(config, parameters, pair))
  assert.ok(address.searchParams.has('request') && !address.searchParams.has('scope'), String(address))
  const got = await client.authorizationCodeGrant(config, await signIn(browser, address), checks)
  assert.equal((await client.fetchUserInfo(config, got.access_token, sub)).email, told.email)
})

await step('oauth4webapi: a pushed and signed request, private_key_jwt, signatures checked, refresh', async () => {
  const { asking } = told
  const key = await crypto.subtle.importKey('jwk', asking.key, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign'])
  const pair = { key, kid: asking.key.kid }
  const plain = { [oauth.allowInsecureRequests]: true }
  const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, plain))
  const party = { client_id: asking.client_id, userinfo_signed_response_alg: 'ES256' }
  const proof = oauth.PrivateKeyJwt(pair)
  const verifier = oauth.generateRandomCodeVerifier()
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
  const parameters = new URLSearchParams({
    client_id: party.client_id, response_type: 'code', redirect_uri: asking.redirect_uri, scope: 'openid email offline_access', state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  })
  const request = await oauth.issueRequestObject(as, party, parameters, pair)
  const pushed = await oauth.processPushedAuthorizationResponse(as, party,
    await oauth.pushedAuthorizationRequest(as, party, proof, new URLSearchParams({ client_id: party.client_id, request }), plain))
  const address = new URL(as.authorization_endpoint)
  address.search = new URLSearchParams({ client_id: party.client_id, request_uri: pushed.request_uri }).toString()
  const arrived = oauth.validateAuthResponse(as, party, await signIn(browser, address), state)
  const answer = await oauth.authorizationCodeGrantRequest(as, party, proof, arrived, asking.redirect_uri, verifier, plain)
  const got = await oauth.processAuthorizationCodeResponse(as, party, answer, { expectedNonce: nonce, requireIdToken: true })
  assert.equal(oauth.getValidatedIdTokenClaims(got).sub, sub)
  const info = await oauth.userInfoRequest(as, party, got.access_token, plain)
  assert.equal((await oauth.processUserInfoResponse(as, party, sub, info)).email, told.email)
  await oauth.validateApplicationLevelSignature(as, info, plain)
  const renewed = await oauth.processRefreshTokenResponse(as, party, await oauth.refreshTokenGrantRequest(as, party, proof, got.refresh_token, plain))
  assert.notEqual(renewed.refresh_token, got.refresh_token)
})

await step('RP-initiated logout', async () => {
  const address = client.buildEndSessionUrl(config, {
    id_token_hint: second.id_token,
    post_logout_redirect_uri: web.post_logout_redirect_uri,
    state: 'good-bye',
  })
  let back = await browser.request(address)
  if (back.title === 'Sign out?') back = await back.press('logout-confirm')
  assert.ok(back instanceof URL, `the walk ended on the page "${back.title}"`)
  assert.equal(back.href, `${web.post_logout_redirect_uri}?state=good-bye`)
  const { address: silent, checks } = await begin(config, { redirect_uri: web.redirect_uri, scope: 'openid', prompt: 'none' })
  const answer = await browser.request(silent)
  assert.ok(answer instanceof URL, `a page was shown: "${answer.title}"`)
  await refused(client.authorizationCodeGrant(config, answer, checks), 'login_required')
})
