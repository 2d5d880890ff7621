// Viewer requests of uploads at the distribution: what the API has signed passes, and nothing else.
//
// A CloudFront Function (runtime 2.0: ECMAScript 5.1 with const and let). It sees no body. What it
// compares is what a request says of its body, and the store holds the body to that: the length by
// HTTP itself, the checksum by S3. worker/adapters/aws/edge_tickets.py signs the same lines.
const crypto = require('crypto');
const KEY = '${KEY}';
const PATH = /^\/[0-9a-f]{2}\/uploads\/[0-9a-f-]{36}\/[^\/]+$/;

function refused(status, code, message) {
  return {
    statusCode: status,
    statusDescription: code,
    headers: {
      'content-type': { value: 'application/xml' },
      'cache-control': { value: 'no-store' },
      // So that a page learns that it was refused, and asks for another ticket.
      'access-control-allow-origin': { value: '*' },
    },
    body: '<Error><Code>' + code + '</Code><Message>' + message + '</Message></Error>',
  };
}

/** The value of a query parameter or header; empty if it is missing, null if it is there twice. */
function single(values, name) {
  const found = values[name];
  if (!found) return '';
  return found.multiValue && found.multiValue.length > 1 ? null : found.value;
}

/** The lines that a ticket signs; null if one of them cannot be told. */
function signedLines(request, upload, part, expires) {
  const headers = request.headers;
  const lines = [request.method, request.uri, expires, upload, part, single(headers, 'content-length')];
  const names = Object.keys(headers).sort();
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index];
    const kept = name === 'if-none-match' || (name === 'content-type' && !upload)
      || (name.indexOf('x-amz-') === 0 && name.indexOf('x-amz-cf-') !== 0);
    if (kept) {
      const value = single(headers, name);
      lines.push(value === null ? null : name + ':' + value);
    }
  }
  return lines.indexOf(null) < 0 ? lines.join('\n') : null;
}

/** Takes as long whatever differs. */
function equal(first, second) {
  let different = first.length ^ second.length;
  for (let index = 0; index < first.length; index += 1) {
    different |= first.charCodeAt(index) ^ second.charCodeAt(index % (second.length || 1));
  }
  return different === 0;
}

function handler(event) {
  const request = event.request;
  // By the bucket's rules for browsers.
  if (request.method === 'OPTIONS') return request;
  if (request.method !== 'PUT') return refused(405, 'MethodNotAllowed', 'Uploads are sent by PUT.');
  const query = request.querystring;
  const ticket = single(query, 'ticket');
  const expires = single(query, 'expires');
  const upload = single(query, 'uploadId');
  const part = single(query, 'partNumber');
  const lines = signedLines(request, upload, part, expires);
  if (!ticket || lines === null || !PATH.test(request.uri) || !/^[0-9]{1,12}$/.test(expires)) {
    return refused(403, 'AccessDenied', 'This is no ticket.');
  }
  const wanted = crypto.createHmac('sha256', KEY).update(lines).digest('hex');
  if (!equal(wanted, ticket)) {
    return refused(403, 'SignatureDoesNotMatch', 'The request is not the one that was signed.');
  }
  if (Number(expires) * 1000 < Date.now()) return refused(403, 'AccessDenied', 'The ticket has expired.');
  // No other parameter may make another operation of it.
  request.querystring = upload ? { uploadId: { value: upload }, partNumber: { value: part } } : {};
  delete request.headers.authorization;
  return request;
}
