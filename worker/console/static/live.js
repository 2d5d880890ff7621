// Changes of all assets, by one request that waits on the server: nothing is asked for one by one.

import { call, config } from './api.js';

const WAIT = 20; // seconds that the server may hold a request
const PAUSE = 5_000; // milliseconds between two polls of an API that cannot hold requests,
const IDLE = 30_000; // and while no upload is in progress
const RETRY = 2_000;

/**
 * Tells of changes until the page goes.
 * @param {function(Array, string[])} told gets assets that changed and ids of those that are gone
 * @param {function(string)} state gets `on`, `slow` or `idle` (polls) or `bad` (no response)
 * @param {function(): boolean} busy whether an upload is in progress
 */
export async function follow(told, state, busy) {
  let cursor;
  for (;;) {
    try {
      if (config.live === false) {
        const page = await call('GET', '/assets', { query: { limit: 50 } });
        told(page.assets, []);
        for (let waited = 0; ; waited += PAUSE) {
          const soon = busy(); // other requests of the page bring changes, too
          state(soon ? 'slow' : 'idle');
          if (waited >= (soon ? PAUSE : IDLE)) break;
          await pause(PAUSE);
        }
      } else {
        const answer = await call('GET', '/changes', { query: { cursor, wait: cursor === undefined ? 0 : WAIT } });
        cursor = answer.cursor;
        if (answer.assets.length || answer.gone.length) told(answer.assets, answer.gone);
        state('on');
      }
    } catch (error) {
      if (error.status === 404) config.live = false;
      else {
        if (error.status === 401) return; // the user has to sign in, which loads the page again
        state('bad');
        await pause(RETRY * (0.5 + Math.random()));
      }
    }
    if (document.hidden) await seen();
  }
}

/** A hidden page asks for nothing; it catches up when it is seen again. */
function seen() {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener('visibilitychange', look);
      resolve();
    };
    document.addEventListener('visibilitychange', look);
    look();
  });
}

function pause(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}
