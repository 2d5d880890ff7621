// Elements without HTML strings: whatever a name or a caption holds is shown as text.

const SVG = 'http://www.w3.org/2000/svg';

/** Paths of icons, drawn with strokes on 24 by 24. */
const ICONS = {
  upload: 'M12 16V4m0 0L7 9m5-5 5 5M4 16v2a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-2',
  camera: 'M4 8h3l2-3h6l2 3h3a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V9a1 1 0 0 1 1-1Zm8 9a4 4 0 1 0 0-8 4 4 0 0 0 0 8Z',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm9 2-4-4',
  close: 'M6 6l12 12M18 6 6 18',
  pause: 'M9 5v14M15 5v14',
  play: 'M8 5l11 7-11 7V5Z',
  retry: 'M20 11a8 8 0 1 0-2 6m2-11v5h-5',
  check: 'M5 12.5 10 17 19 7',
  warn: 'M12 4 2.5 20h19L12 4Zm0 6v4m0 3v.01',
  back: 'M15 5l-7 7 7 7',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  trash: 'M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5',
  chevron: 'M6 9l6 6 6-6',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8Zm0-13v2m0 14v2M3 12h2m14 0h2M5.6 5.6 7 7m10 10 1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4',
  moon: 'M20 14A8 8 0 0 1 10 4a8 8 0 1 0 10 10Z',
  auto: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-18v18',
  grid: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z',
  pulse: 'M3 12h4l3-8 4 16 3-8h4',
  target: 'M12 20a8 8 0 1 0 0-16 8 8 0 0 0 0 16Zm0-5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM12 2v4m0 12v4M2 12h4m12 0h4',
  key: 'M14 14a5 5 0 1 0-4-4L3 17v4h4v-3h3v-3l1.5-1.5M16 8v.01',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  fit: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5M9 9h6v6H9z',
  expand: 'M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7',
  eye: 'M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12ZM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z',
  veil: 'M4 4l16 16M9.9 5.7a9.6 9.6 0 0 1 2.1-.2c6 0 9.5 6.5 9.5 6.5a17 17 0 0 1-3 3.6M6.2 7.7A16.6 16.6 0 0 0 2.5 12S6 18.5 12 18.5c1.6 0 3-.4 4.2-1.1M9.9 9.9a3 3 0 0 0 4.2 4.2',
  lock: 'M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3',
  clock: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-14v5l3.5 2',
  keys: 'M3 6h18v12H3zM7 10v.01M10.5 10v.01M14 10v.01M17 10v.01M8 14h8',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-6.5 9a6.5 6.5 0 0 1 13 0M16 4.3a3.5 3.5 0 0 1 0 6.4M18 14a6.5 6.5 0 0 1 3.5 6',
  grey: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18Zm0-18v18m0-14h7m-7 4h9m-9 4h8',
  image: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9v.01',
};

/**
 * Makes an element.
 * @param {string} tag a name, with classes after dots: `p.note.quiet`
 * @param {object} [properties] properties; `on` holds listeners, `data` and `aria` attributes
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function h(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split('.');
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(' ');
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key === 'on') {
      for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    } else if (key === 'data') Object.assign(made.dataset, value);
    else if (key === 'aria') {
      for (const [attribute, text] of Object.entries(value)) made.setAttribute(`aria-${attribute}`, text);
    } else if (key in made && key !== 'list' && key !== 'form') made[key] = value;
    else if (value !== false) made.setAttribute(key, value === true ? '' : value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** An icon; decoration only, so screen readers pass over it. */
export function icon(name) {
  return svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' },
    svg('path', { d: ICONS[name] }));
}

/** A button with an icon; `label` is read aloud, and shown unless `quiet`. */
export function button(label, name, listener, { quiet = false, kind = '', ...rest } = {}) {
  return h(`button.button${kind ? `.${kind}` : ''}${quiet ? '.round' : ''}`, {
    type: 'button', on: { click: listener }, title: quiet ? label : undefined,
    aria: quiet ? { label } : {}, ...rest,
  }, name && icon(name), quiet ? null : h('span', {}, label));
}

/** Replaces what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let announcer;

/** Tells screen readers, without moving the focus. */
export function announce(text) {
  announcer ??= document.getElementById('announcer');
  announcer.textContent = text;
}

let toastTimer;

/** Shows a sentence for some seconds, and tells it to screen readers. */
export function toast(text, { bad = false } = {}) {
  const place = document.getElementById('toast');
  fill(place, icon(bad ? 'warn' : 'check'), h('span', {}, text));
  place.dataset.bad = bad;
  place.hidden = false;
  announce(text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { place.hidden = true; }, bad ? 9000 : 4000);
}

/**
 * Asks before something that cannot be undone.
 * @returns {Promise<boolean>}
 */
export function confirm(title, text, action) {
  return new Promise((resolve) => {
    const dialog = h('dialog.dialog', { aria: { labelledby: 'ask' } },
      h('form', { method: 'dialog' },
        h('h2', { id: 'ask' }, title),
        h('p', {}, text),
        h('div.actions', {},
          h('button.button', { value: 'no', autofocus: true }, 'Cancel'),
          h('button.button.danger', { value: 'yes' }, action))));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
