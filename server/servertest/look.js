// What can be told of a page by looking. Each function returns complaints, one a line.

const all = selector => [...document.querySelectorAll(selector)];

// name says which element is meant.
const name = e => e.tagName.toLowerCase() + (e.id ? '#' + e.id : e.className ? '.' + String(e.className).replaceAll(' ', '.') : '');

const opened = () => all('details').forEach(d => { d.open = true; });

// seen tells whether a person sees the element: what is read aloud only is clipped to a pixel.
const seen = e => {
  const box = e.getBoundingClientRect();
  return e.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && box.width > 1 && box.height > 1 && box.right > 0 && box.bottom + scrollY > 0;
};

const structure = () => {
  const complaints = [];
  const say = text => complaints.push(text);
  const root = document.documentElement;
  if (!/^[a-z]{2,3}(-[A-Za-z0-9]+)*$/.test(root.lang)) say(`lang is "${root.lang}"`);
  if (!['ltr', 'rtl'].includes(root.dir)) say(`dir is "${root.dir}"`);
  if (document.compatMode !== 'CSS1Compat') say('quirks mode');
  if (!document.title.trim()) say('no title');
  if (/user-scalable|maximum-scale/.test(document.querySelector('meta[name=viewport]').content)) say('it cannot be enlarged');

  const h1 = all('h1');
  if (h1.length !== 1 || h1[0].id !== 'page-title') say(`${h1.length} h1`);
  let before = 0;
  for (const h of all('h1, h2, h3, h4, h5, h6')) {
    const level = Number(h.tagName[1]);
    if (level > before + 1) say(`"${h.innerText}" is of level ${level} after ${before}`);
    before = level;
  }

  const ids = all('[id]').map(e => e.id);
  for (const id of new Set(ids)) if (ids.filter(i => i === id).length > 1) say(`id ${id} twice`);
  for (const attribute of ['for', 'aria-labelledby', 'aria-describedby'])
    for (const e of all(`[${attribute}]`))
      for (const id of e.getAttribute(attribute).split(/\s+/)) {
        const target = document.getElementById(id);
        if (!target || !target.textContent.trim() && attribute !== 'for') say(`${attribute}="${id}" of ${name(e)} leads to nothing`);
      }

  for (const e of all('input:not([type=hidden]), select, textarea'))
    if (!e.labels.length && !e.hidden) say(`${name(e)} has no label`);
  for (const e of all('input[type=password], input[type=email], #username'))
    if (!e.autocomplete || e.autocomplete === 'off') say(`${name(e)} cannot be filled in by a password manager`);
  for (const e of all('[aria-invalid=true]'))
    if (!e.getAttribute('aria-describedby')) say(`${name(e)} is wrong, and nothing says why`);
  for (const e of all('svg:not([aria-hidden=true]), img:not([alt])')) say(`${name(e)} has no text`);
  for (const e of all('[tabindex]')) if (e.tabIndex > 0) say(`${name(e)} stands out of turn`);
  for (const e of all('form button')) if (e.type !== 'submit') say(`${name(e)} sends nothing`);
  for (const e of all('form')) if (e.method !== 'post') say(`a form is sent by ${e.method}`);

  for (const e of all('body *')) {
    for (const { name: attribute } of e.attributes)
      if (attribute === 'style' || attribute.startsWith('on')) say(`${name(e)} has an attribute ${attribute}`);
    if (e.tagName === 'SCRIPT' && !(e.src.startsWith(location.origin + '/static/') && !e.textContent) && e.textContent !== 'HTMLFormElement.prototype.submit.call(document.forms[0])') say('a script: ' + e.textContent);
    if (e.tagName === 'IMG' && !e.src.startsWith('data:image/') && !e.src.startsWith(location.origin + '/')) say('a picture from elsewhere: ' + e.src);
    if (['IFRAME', 'OBJECT', 'EMBED', 'STYLE', 'BASE', 'LINK'].includes(e.tagName)) say(`there is a ${name(e)}`);
  }
  for (const e of all('a[href]')) {
    if (!/^https?:$/.test(e.protocol)) say(`${name(e)} leads to ${e.href}`);
    if (e.target === '_blank' && !/noopener/.test(e.rel)) say(`${name(e)} hands its window over`);
  }

  // Text outside of every landmark is not found by who jumps from one to the next.
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() && seen(e) && !e.closest('main, header, nav, footer, aside')) say(`"${walker.currentNode.data.trim()}" is in no landmark`);
  }

  // WCAG 2.2, 2.5.8: what is pressed is at least 24 by 24, save links within a line.
  opened();
  for (const e of all('button, input:not([type=hidden]), select, summary, a')) {
    if (!seen(e) || e.tagName === 'A' && getComputedStyle(e).display === 'inline') continue;
    const box = e.getBoundingClientRect();
    if (box.width < 24 || box.height < 24) say(`${name(e)} is ${Math.round(box.width)} by ${Math.round(box.height)} pixels`);
  }
  return complaints;
};

// Colors, as WCAG 2.2 reckons with them.
const parse = color => {
  const parts = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(color);
  if (!parts) throw new Error('cannot read the color ' + color);
  return { rgb: parts.slice(1, 4).map(Number), alpha: parts[4] === undefined ? 1 : Number(parts[4]) };
};
const over = (front, back) => front.rgb.map((c, i) => c * front.alpha + back[i] * (1 - front.alpha));
const luminance = rgb => {
  const [r, g, b] = rgb.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (one, other) => {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
};
// ground is what lies behind the element's content.
const ground = e => {
  if (!e) return matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18] : [255, 255, 255];
  const style = getComputedStyle(e);
  if (style.backgroundImage !== 'none') throw new Error('a picture lies behind ' + name(e));
  const color = parse(style.backgroundColor);
  return color.alpha === 1 ? color.rgb : over(color, ground(e.parentElement));
};

const contrast = () => {
  opened();
  const complaints = new Set();
  const hold = (e, what, color, back, least) => {
    const got = ratio(over(parse(color), back), back);
    if (got < least) complaints.add(`${what} of ${name(e)} has a contrast of ${got.toFixed(2)}, below ${least}`);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (walker.currentNode.data.trim() && seen(e)) hold(e, `the text "${walker.currentNode.data.trim().slice(0, 30)}"`, getComputedStyle(e).color, ground(e), 4.5);
  }
  for (const e of all('input:not([type=hidden]), select')) {
    const style = getComputedStyle(e);
    hold(e, 'what is written in the field', style.color, ground(e), 4.5);
    if (e.placeholder) hold(e, 'the placeholder', getComputedStyle(e, '::placeholder').color, ground(e), 4.5);
    hold(e, 'the edge', style.borderTopColor, ground(e.parentElement), 3);
  }
  return [...complaints];
};

// overflow complains of a page that is wider than its window (WCAG 2.2, 1.4.10).
const overflow = () => {
  opened();
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  const wide = all('body *').filter(e => {
    const box = e.getBoundingClientRect();
    return seen(e) && (box.right > root.clientWidth + 1 || box.left < -1);
  });
  return [`it is ${root.scrollWidth} pixels wide in ${root.clientWidth}: ${wide.slice(0, 5).map(name).join(', ')}`];
};
