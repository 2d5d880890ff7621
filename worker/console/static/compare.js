// Two pictures of the same cut, one over the other, with a line to drag between them.

import { h } from './dom.js';

/**
 * @param {{url: string, label: string}} before shown to the left of the line
 * @param {{url: string, label: string}} after shown to the right of the line
 * @param {string} name of the asset
 */
export function compare(before, after, name) {
  const range = h('input', {
    type: 'range', min: 0, max: 100, step: 0.5, value: 50,
    aria: { label: `Line between ${before.label} and ${after.label}` },
  });
  const box = h('div.compare', {},
    h('img', { src: before.url, alt: `${name}, ${before.label}`, draggable: false }),
    h('img.after', { src: after.url, alt: `${name}, ${after.label}`, draggable: false }),
    h('span.handle'),
    h('span.side.left', {}, before.label),
    h('span.side.right', {}, after.label),
    range);
  const move = () => {
    box.style.setProperty('--at', `${range.value}%`);
    range.setAttribute('aria-valuetext', `${before.label} ${Math.round(range.value)} %`);
  };
  range.addEventListener('input', move);
  // A press anywhere moves the line there at once; the browser's own thumb would jump by steps.
  box.addEventListener('pointermove', (event) => {
    if (event.pointerType !== 'mouse') return;
    const { left, width } = box.getBoundingClientRect();
    range.value = ((event.clientX - left) / width) * 100;
    move();
  });
  move();
  return box;
}
