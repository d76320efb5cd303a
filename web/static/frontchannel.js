// The last page of a sign-out. It goes on by itself when the applications have loaded what signs the person out of them, or after three
// seconds. Without this script there is the link.
'use strict';
(() => {
  const onward = document.getElementById('logged-out-continue');
  if (!onward) {
    return;
  }
  let gone = false;
  const go = () => {
    if (!gone) {
      gone = true;
      location.replace(onward.href);
    }
  };
  setTimeout(go, 3000);
  const frames = document.querySelectorAll('iframe.frontchannel');
  const loaded = Array.from(frames, frame => new Promise(done => frame.addEventListener('load', done))); // no spreading: not every browser knows it
  Promise.all(loaded).then(go);
})();
