// Plays a video: HLS by hls.js, or by the browser where it can itself, or the whole file.

import { h } from './dom.js';
import { bytes } from './format.js';

/**
 * @param {{hls?: object, file?: object, poster?: string, name: string}} source
 * @param {function(string)} told what is being played, in words
 * @returns {{element: HTMLVideoElement, destroy: function()}}
 */
export function player({ hls, file, poster, name }, told) {
  const video = h('video', { controls: true, playsInline: true, preload: 'metadata', aria: { label: name } });
  if (poster) video.poster = poster;
  let engine = null;
  let gone = false;
  const whole = () => {
    if (!file) {
      told('This browser plays neither HLS nor is there a whole file.');
      return;
    }
    video.src = file.url;
    told(`The whole file is played: ${file.width} × ${file.height}, ${bytes(file.bytes)}.`);
  };
  const begin = async () => {
    if (!hls) {
      whole();
      return;
    }
    const { default: Hls } = await import('./vendor/hls.min.mjs');
    if (gone) return;
    if (!Hls.isSupported()) {
      if (video.canPlayType('application/vnd.apple.mpegurl')) {
        video.src = hls.url;
        told('The browser plays the HLS ladder itself.');
      } else whole();
      return;
    }
    // Without a worker: its script would come from a blob, which the page's policy forbids.
    engine = new Hls({ enableWorker: false, capLevelToPlayerSize: true });
    engine.on(Hls.Events.LEVEL_SWITCHED, (_, { level }) => {
      const rung = engine.levels[level];
      told(`hls.js plays the rung ${rung.width} × ${rung.height} at ${Math.round(rung.bitrate / 1000)} kbit/s, one of ${engine.levels.length}. It follows the line and the size of the player.`);
    });
    engine.on(Hls.Events.ERROR, (_, { fatal, details }) => {
      if (!fatal) return;
      engine.destroy();
      engine = null;
      told(`hls.js gave up (${details}).`);
      if (file) whole();
    });
    engine.loadSource(hls.url);
    engine.attachMedia(video);
    told('hls.js loads the ladder.');
  };
  begin();
  return {
    element: video,
    destroy() {
      gone = true;
      engine?.destroy();
      video.removeAttribute('src');
      video.load();
    },
  };
}
