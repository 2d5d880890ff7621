// Zooms into the tiles of a picture, down to its last pixel: Deep Zoom, drawn by OpenSeadragon.

import { button, h } from './dom.js';
import { number } from './format.js';

const STEP = 1.5; // factor of a zoom by button
const CLOSEST = 4; // screen pixels for a pixel of the picture
const TURNS = ['r', 'R', 'f']; // keys with which OpenSeadragon rotates and mirrors; the console does not offer this

// OpenSeadragon assigns an empty string as markup to empty an element. No other text may become markup.
globalThis.trustedTypes?.createPolicy('default', { createHTML: (text) => (text === '' ? '' : null) });

/**
 * OpenSeadragon adds a style that hides the focus on phones, unless an element with this name exists.
 * This element has no namespace, so browsers do not treat it as a style, which the page's policy would refuse.
 */
function keepFocusSeen() {
  const mark = 'data-openseadragon-mobile-css';
  if (document.querySelector(`style[${mark}]`)) return;
  const stand = document.createElementNS(null, 'style');
  stand.setAttribute(mark, '');
  document.head.append(stand);
}

/**
 * @param {string} descriptor address of the `.dzi`
 * @param {string} name of the asset
 * @param {function(string)} told gets a text about the visible part
 * @param {function(string)} failed gets the reason why nothing is visible
 * @returns {{element: HTMLElement, destroy: function()}}
 */
export function zoomer(descriptor, name, told, failed) {
  const surface = h('div.surface');
  let viewer = null;
  let gone = false;
  const zoom = (factor) => () => viewer?.viewport && viewer.viewport.zoomBy(factor) && viewer.viewport.applyConstraints();
  const full = () => (document.fullscreenElement ? document.exitFullscreen() : element.requestFullscreen());
  const element = h('div.zoom', {}, surface, h('div.zoom-buttons', {},
    button('Zoom in', 'plus', zoom(STEP), { quiet: true }),
    button('Zoom out', 'minus', zoom(1 / STEP), { quiet: true }),
    button('Whole picture', 'fit', () => viewer?.viewport?.goHome(), { quiet: true }),
    document.fullscreenEnabled ? button('Full screen', 'expand', full, { quiet: true }) : null));

  const begin = async () => {
    try {
      await import('./vendor/openseadragon.min.js'); // it is not a module: it makes a global
    } catch {
      if (!gone) failed('The viewer cannot be loaded.');
      return;
    }
    if (gone) return;
    keepFocusSeen();
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    viewer = globalThis.OpenSeadragon({
      element: surface,
      tileSources: descriptor,
      showNavigationControl: false, // its buttons are images without labels
      drawer: 'canvas', // WebGL needs CORS for tiles of another origin
      animationTime: still ? 0 : 0.6,
      maxZoomPixelRatio: CLOSEST,
      visibilityRatio: 0.6,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      gestureSettingsTouch: { pinchRotate: false },
      cooperativeGestures: matchMedia('(hover: none)').matches, // one finger scrolls the page, two zoom
    });
    viewer.canvas.setAttribute('role', 'application');
    viewer.canvas.setAttribute('aria-label', `${name}. Arrow keys move, plus and minus zoom, 0 shows the whole picture.`);
    viewer.addHandler('canvas-key', (event) => {
      if (TURNS.includes(event.originalEvent.key)) event.preventDefaultAction = true;
    });
    const say = () => {
      const share = viewer.viewport.viewportToImageZoom(viewer.viewport.getZoom()) * devicePixelRatio;
      const { x, y } = viewer.world.getItemAt(0).getContentSize();
      told(`${number(x)} × ${number(y)} pixels, shown at ${number(Math.round(share * 1000) / 10)} %`);
    };
    viewer.addHandler('open', () => {
      element.dataset.open = 'true';
      say();
    });
    viewer.addHandler('animation-finish', say);
    element.addEventListener('fullscreenchange', () => viewer?.setCooperativeGestures(!document.fullscreenElement && matchMedia('(hover: none)').matches));
    viewer.addHandler('open-failed', () => failed('The tiles cannot be loaded.'));
  };
  begin();
  return {
    element,
    destroy() {
      gone = true;
      viewer?.destroy();
      viewer = null;
    },
  };
}
