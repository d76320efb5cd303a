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
  const loaded = [...document.querySelectorAll('iframe.frontchannel')].map(frame => new Promise(done => frame.addEventListener('load', done)));
  Promise.all(loaded).then(go);
})();
