// Runs in CloudFront for every request (viewer request, runtime 2.0): URL and headers of a client in,
// the key of the one file it gets out. docs/delivery.md explains every rule; tests/edge holds them.
//
// ES5.1 with const and let, and nothing newer: the engine is not node.

const crypto = require('crypto');

// What the deployment's recipe makes beside the common format, best first. The Pulumi program writes this line.
const FORMATS = ['jxl', 'avif', 'webp'];
const WIDTHS = [320, 480, 640, 960, 1280, 1920, 2560, 3840];
const COMMON = 'jpg';

// By device class, where no hint says more: pixels across.
const DEFAULT_WIDTH = 1280;
const PHONE_WIDTH = 960;
const DESKTOP_WIDTH = 1920;

const PATH = /^\/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\/([0-9a-f]{16})\/(.+)$/;
const FILE = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*\/){0,8}[A-Za-z0-9_-][A-Za-z0-9._-]*\.(?:jpg|jxl|avif|webp|png|gif|mp4|m4s|m4a|m3u8|mpd|vtt|webm|dzi|pdf)$/;
const NAME = /^[A-Za-z0-9_-]{1,100}$/;
const WIDTH = /^w\/(auto|[0-9]{1,9})(?:\.(jpg|jxl|avif|webp|png|gif))?$/;

// Words of User-Agent, in lower case. Programs that show a link or index a page get JPEG, which all of them take;
// most have an address in their name. CUBOT makes phones.
const BOTS = ['bot', '://', 'crawl', 'spider', 'preview', 'whatsapp/', 'slurp', 'facebookexternalhit', 'embedly', 'validator',
    'mediapartners', 'feedfetcher', 'google-inspectiontool', 'googleother', 'iframely'];
const NO_BOTS = ['cubot'];
const FEATURE_PHONES = ['opera mini', 'kaios', 'nokia', 'midp', 'ucweb', 'j2me'];
const TABLETS = ['ipad', 'tablet', 'kindle', 'silk/', 'playbook'];
const PHONES = ['mobi', 'phone', 'ipod', 'android'];
const DESKTOPS = ['windows nt', 'macintosh', 'x11', 'cros '];

const LONGEST = 1024; // characters of a header that are read

function header(headers, name) {
    const found = headers[name];
    if (!found || typeof found.value !== 'string') {
        return '';
    }
    let text = found.value;
    const lines = found.multiValue; // of a header that is sent more than once
    for (let i = 1; lines && i < lines.length && text.length < LONGEST; i++) {
        text += ',' + lines[i].value;
    }
    return text.slice(0, LONGEST);
}

// A quality value (RFC 9110, 12.4.2); 0 for what is none: the client then gets what all can show.
function quality(parameters) {
    for (let i = 1; i < parameters.length; i++) {
        const found = /^\s*q\s*=\s*(\S*)\s*$/i.exec(parameters[i]);
        if (found) {
            return /^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/.test(found[1]) ? Number(found[1]) : 0;
        }
    }
    return 1;
}

// The quality of each media type that Accept names; of one that is named twice the lower one.
function readAccept(accept) {
    const found = {};
    const items = accept.split(',');
    // The last one may be cut off, and so lack its q=0.
    const count = accept.length < LONGEST ? items.length : items.length - 1;
    for (let i = 0; i < count; i++) {
        const parameters = items[i].split(';');
        const type = 't:' + parameters[0].trim().toLowerCase();
        const q = quality(parameters);
        found[type] = found[type] === undefined ? q : Math.min(found[type], q);
    }
    return found;
}

function first(values) {
    for (let i = 0; i < values.length; i++) {
        if (values[i] !== undefined) {
            return values[i];
        }
    }
    return 0;
}

function has(agent, words) {
    for (let i = 0; i < words.length; i++) {
        if (agent.indexOf(words[i]) >= 0) {
            return true;
        }
    }
    return false;
}

function isBot(agent) {
    return has(agent, BOTS) && !has(agent, NO_BOTS);
}

// The best format that the client takes. Wildcards promise nothing: browsers without any newer format send them.
function chooseFormat(headers, bot) {
    const accept = header(headers, 'accept');
    if (!accept || bot) {
        return COMMON;
    }
    const q = readAccept(accept);
    // What the origin gives when a file in the chosen format does not exist may be WebP.
    if (!(q['t:image/webp'] > 0)) {
        return COMMON;
    }
    let best = COMMON;
    let highest = first([q['t:image/jpeg'], q['t:image/*'], q['t:*/*']]);
    for (let i = FORMATS.length - 1; i >= 0; i--) {
        const mine = q['t:image/' + FORMATS[i]];
        if (mine > 0 && mine >= highest) {
            best = FORMATS[i];
            highest = mine;
        }
    }
    return best;
}

// A hint that is a positive number of sane size, by its new or its old name; otherwise 0.
function hint(headers, name, most) {
    const text = (header(headers, 'sec-ch-' + name) || header(headers, name)).trim();
    const value = /^[0-9]{1,6}(?:\.[0-9]{1,6})?$/.test(text) ? Number(text) : 0;
    return value <= most ? value : 0;
}

// Pixels across that the client shows: what it says, else a guess by the kind of device.
function wantedWidth(headers, agent, bot) {
    const width = hint(headers, 'width', 100000);
    if (width) {
        return width;
    }
    const viewport = hint(headers, 'viewport-width', 100000);
    if (viewport) {
        return viewport * (hint(headers, 'dpr', 10) || 1);
    }
    if (bot) {
        return DEFAULT_WIDTH;
    }
    if (has(agent, FEATURE_PHONES)) {
        return WIDTHS[0];
    }
    if (has(agent, TABLETS)) {
        return DEFAULT_WIDTH;
    }
    if (header(headers, 'sec-ch-ua-mobile') === '?1' || has(agent, PHONES)) {
        return PHONE_WIDTH;
    }
    return has(agent, DESKTOPS) ? DESKTOP_WIDTH : DEFAULT_WIDTH;
}

// Steps down the list of widths for who saves data or has a slow line: 0 to 2.
function stepsDown(headers) {
    const saves = header(headers, 'save-data').trim().toLowerCase() === 'on' ? 1 : 0;
    const type = header(headers, 'ect').trim().toLowerCase();
    let slow = type === 'slow-2g' ? 2 : type === '2g' ? 1 : 0;
    const rate = header(headers, 'downlink').trim(); // Mbit/s
    if (!type && /^[0-9]{1,4}(?:\.[0-9]{1,6})?$/.test(rate) && Number(rate) <= 0.07) {
        slow = 1;
    }
    return Math.min(2, saves + slow);
}

function snapUp(width, steps) {
    let index = 0;
    while (index < WIDTHS.length - 1 && WIDTHS[index] < width) {
        index++;
    }
    return WIDTHS[Math.max(0, index - steps)];
}

// The file behind a path, below its version: null for what can be none.
function chooseFile(rest, headers) {
    const sized = WIDTH.exec(rest);
    if (!sized && !NAME.test(rest)) {
        return FILE.test(rest) ? rest : null;
    }
    const agent = header(headers, 'user-agent').toLowerCase();
    const bot = isBot(agent);
    const format = (sized && sized[2]) || chooseFormat(headers, bot);
    if (!sized) {
        return rest + '.' + format;
    }
    const auto = sized[1] === 'auto';
    const wanted = auto ? wantedWidth(headers, agent, bot) : Number(sized[1]);
    // Whoever names both a width and a format gets the same file everywhere, and so does every bot.
    const fixed = bot || (!auto && sized[2]);
    // A key of its own: of a small picture, w/auto gets the widest file, and w/3840 gets 404.
    return (auto ? 'w/auto-' : 'w/') + snapUp(wanted, fixed ? 0 : stepsDown(headers)) + '.' + format;
}

function handler(event) {
    const request = event.request;
    const path = request.uri.length <= LONGEST ? PATH.exec(request.uri) : null;
    const file = path && chooseFile(path[3], request.headers || {});
    if (!file) {
        return {
            statusCode: 404,
            statusDescription: 'Not Found',
            headers: {
                'cache-control': { value: 'public, max-age=60' },
                'content-type': { value: 'text/plain' },
            },
            body: 'there is no such file\n',
        };
    }
    // Two hexadecimal digits in front spread keys over the partitions of the bucket (worker/domain/keys.py).
    const spread = crypto.createHash('sha256').update(path[1]).digest('hex').slice(0, 2);
    request.uri = '/' + spread + '/' + path[1] + '/' + path[2] + '/' + file;
    request.querystring = {}; // nothing of it reaches the origin
    return request;
}
