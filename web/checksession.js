// The OP iframe of OpenID Connect Session Management 1.0 §3.2. It is asked "client_id session_state", and answers changed, unchanged or error.
'use strict';
(() => {
  const name = document.body.dataset.cookie + '=';
  // One for each account that the browser is signed in to.
  const states = () => {
    const found = document.cookie.split('; ').find(cookie => cookie.startsWith(name));
    return found ? found.slice(name.length).split('.') : [];
  };
  const digest = async text => {
    const sum = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
    return btoa(String.fromCharCode(...new Uint8Array(sum))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };
  addEventListener('message', async event => {
    if (event.source === null || event.source === window || event.origin === 'null') {
      return;
    }
    let answer = 'error';
    const parts = typeof event.data === 'string' ? event.data.split(' ') : [];
    if (parts.length === 2 && parts[0] !== '' && /^[\w-]+\.[\w-]+$/.test(parts[1])) {
      const [hash, salt] = parts[1].split('.');
      try {
        const now = await Promise.all(states().map(state => digest(`${parts[0]} ${event.origin} ${state} ${salt}`)));
        answer = now.includes(hash) ? 'unchanged' : 'changed';
      } catch {
        // A page that is not secure cannot reckon it.
      }
    }
    event.source.postMessage(answer, event.origin);
  });
})();
