// Passkeys (W3C Web Authentication). A form of class "passkey" holds what the server asks for; its button asks the browser, and the
// form is sent with what that answers. Where the form says so, the browser offers its passkeys beside the field of the user name,
// too. Without this script the button sends the form empty, and the server says what is missing.
'use strict';
(() => {
  const form = document.querySelector('form.passkey');
  if (!form || !window.PublicKeyCredential) {
    return;
  }
  const options = JSON.parse(document.getElementById('passkey-options').value);
  const field = document.getElementById('passkey-answer');
  const problem = document.getElementById('passkey-problem');
  const create = form.dataset.ceremony === 'create';

  const bytes = text => {
    const padded = text.replace(/-/g, '+').replace(/_/g, '/');
    return Uint8Array.from(atob(padded), c => c.charCodeAt(0));
  };
  const text = buffer => {
    let all = '';
    for (const byte of new Uint8Array(buffer)) {
      all += String.fromCharCode(byte);
    }
    return btoa(all).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };
  const known = list => (list || []).map(one => ({...one, id: bytes(one.id)}));

  const asked = () => {
    const made = {...options, challenge: bytes(options.challenge)};
    if (create) {
      made.user = {...options.user, id: bytes(options.user.id)};
      made.excludeCredentials = known(options.excludeCredentials);
    } else {
      made.allowCredentials = known(options.allowCredentials);
    }
    return made;
  };

  const written = credential => {
    const {response} = credential;
    const answer = {
      id: credential.id, rawId: text(credential.rawId), type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment || undefined,
      clientExtensionResults: credential.getClientExtensionResults(),
      response: {clientDataJSON: text(response.clientDataJSON)},
    };
    if (create) {
      answer.response.attestationObject = text(response.attestationObject);
      answer.response.transports = response.getTransports ? response.getTransports() : [];
    } else {
      answer.response.authenticatorData = text(response.authenticatorData);
      answer.response.signature = text(response.signature);
      answer.response.userHandle = response.userHandle ? text(response.userHandle) : undefined;
    }
    return JSON.stringify(answer);
  };

  const send = credential => {
    if (credential) {
      field.value = written(credential);
      HTMLFormElement.prototype.submit.call(form);
    }
  };

  // A browser asks one thing at a time: what it offers beside the field gives way to what is pressed.
  let offer = null;
  form.addEventListener('submit', async event => {
    event.preventDefault();
    problem.hidden = true;
    if (offer) {
      offer.abort();
      offer = null;
    }
    try {
      const publicKey = asked();
      send(create ? await navigator.credentials.create({publicKey}) : await navigator.credentials.get({publicKey}));
    } catch {
      problem.setAttribute('role', 'alert'); // now, and not while it says nothing
      problem.hidden = false;
    }
  });

  const beside = async () => {
    if (!form.dataset.beside || !PublicKeyCredential.isConditionalMediationAvailable ||
        !await PublicKeyCredential.isConditionalMediationAvailable()) {
      return;
    }
    const own = new AbortController();
    offer = own;
    try {
      send(await navigator.credentials.get({publicKey: asked(), mediation: 'conditional', signal: own.signal}));
    } catch {
      // The person has chosen another way.
    }
  };
  beside();
})();
