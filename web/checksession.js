// The OP iframe of OpenID Connect Session Management 1.0 §3.2. It is asked "client_id session_state", and answers changed, unchanged or error.
// It reckons SHA-256 (FIPS 180-4 §6.2) by itself: the browser's own is there for secure pages only, and answers later.
'use strict';
(() => {
  const name = document.body.dataset.cookie + '=';
  // One for each account that the browser is signed in to.
  const states = () => {
    const found = document.cookie.split('; ').find(cookie => cookie.startsWith(name));
    return found ? found.slice(name.length).split('.') : [];
  };

  // The first 32 bits of the fractional parts of the square or cube roots of the first primes (§4.2.2 and §5.3.3).
  const primes = [];
  for (let n = 2; primes.length < 64; n++) {
    if (primes.every(prime => n % prime !== 0)) {
      primes.push(n);
    }
  }
  const fraction = x => ((x - Math.floor(x)) * 0x100000000) | 0;
  const start = primes.slice(0, 8).map(prime => fraction(Math.sqrt(prime)));
  const constants = primes.map(prime => fraction(Math.cbrt(prime)));
  const turn = (x, n) => (x >>> n) | (x << (32 - n));

  const sha256 = text => {
    const bytes = Array.from(unescape(encodeURIComponent(text)), c => c.charCodeAt(0));
    const bits = bytes.length * 8;
    bytes.push(0x80);
    while (bytes.length % 64 !== 56) {
      bytes.push(0);
    }
    bytes.push(0, 0, 0, 0, bits >>> 24 & 255, bits >>> 16 & 255, bits >>> 8 & 255, bits & 255); // 64 bits
    const sum = start.slice();
    for (let block = 0; block < bytes.length; block += 64) {
      const w = [];
      for (let i = 0; i < 16; i++) {
        const at = block + 4 * i;
        w.push(bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]);
      }
      for (let i = 16; i < 64; i++) {
        const s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >>> 3;
        const s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >>> 10;
        w.push(w[i - 16] + s0 + w[i - 7] + s1 | 0);
      }
      let [a, b, c, d, e, f, g, h] = sum;
      for (let i = 0; i < 64; i++) {
        const t1 = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + constants[i] + w[i] | 0;
        const t2 = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
        h = g;
        g = f;
        f = e;
        e = d + t1 | 0;
        d = c;
        c = b;
        b = a;
        a = t1 + t2 | 0;
      }
      [a, b, c, d, e, f, g, h].forEach((word, i) => {
        sum[i] = sum[i] + word | 0;
      });
    }
    const out = sum.map(word => String.fromCharCode(word >>> 24, word >>> 16 & 255, word >>> 8 & 255, word & 255)).join('');
    return btoa(out).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  };

  addEventListener('message', event => {
    if (event.source === null || event.source === window || event.origin === 'null') {
      return;
    }
    let answer = 'error';
    const parts = typeof event.data === 'string' ? event.data.split(' ') : [];
    if (parts.length === 2 && parts[0] !== '' && /^[\w-]+\.[\w-]+$/.test(parts[1])) {
      const [hash, salt] = parts[1].split('.');
      const known = states().some(state => sha256(`${parts[0]} ${event.origin} ${state} ${salt}`) === hash);
      answer = known ? 'unchanged' : 'changed';
    }
    event.source.postMessage(answer, event.origin);
  });
})();
