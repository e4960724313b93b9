// SPDX-License-Identifier: MIT
'use strict';
// node as a peer: "node_http.js serve" answers what tests/peers/README.md lists until its stdin
// ends; "node_http.js check BASE" asks a server for all of it by node's own fetch (undici), by
// the undici package where there is one, and by node:http, a line a case: "ok NAME" or
// "not ok NAME: why"; its status is 1 if one failed. Options first: --cert F --key F --ca F.
const crypto = require('node:crypto');
const events = require('node:events');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { Readable, pipeline } = require('node:stream');
const zlib = require('node:zlib');

const MIB = 1 << 20;
const SIZES = [0, 1, 65536, 64 * MIB];
// What bodies are made of: byte i of a body is block[i % block.length].
const block = Buffer.alloc(65521);
for (let i = 0; i < block.length; i++) block[i] = Math.imul(i, 2654435761) >>> 24;

function* pattern(size) {
  for (let left = size; left > 0; left -= block.length) {
    yield left < block.length ? block.subarray(0, left) : block;
  }
}

const known = new Map();
function digest(size) {
  if (!known.has(size)) {
    const hash = crypto.createHash('sha256');
    for (const part of pattern(size)) hash.update(part);
    known.set(size, hash.digest('hex'));
  }
  return known.get(size);
}

// What a stream of bytes amounts to: "SIZE DIGEST".
async function tally(stream) {
  const hash = crypto.createHash('sha256');
  let size = 0;
  for await (const part of stream ?? []) {
    size += part.length;
    hash.update(part);
  }
  return `${size} ${hash.digest('hex')}`;
}

const expected = (size) => `${size} ${digest(size)}`;

function options(args) {
  const tls = {};
  while (args.length > 0 && args[0].startsWith('--')) {
    tls[args.shift().slice(2)] = fs.readFileSync(args.shift());
  }
  return tls;
}

// ---- the server

const sizeOf = (url) => Number(url.pathname.split('/').pop());

const routes = {
  bytes(q, r, url) {
    r.writeHead(200, { 'content-length': sizeOf(url) });
    pipeline(q.method === 'HEAD' ? [] : Readable.from(pattern(sizeOf(url))), r, () => {});
  },
  async chunked(q, r, url) {
    r.writeHead(200, { trailer: 'X-Digest' });
    r.flushHeaders();
    for (const part of pattern(sizeOf(url))) {
      if (!r.write(part)) await events.once(r, 'drain');
    }
    r.addTrailers({ 'X-Digest': digest(sizeOf(url)) });
    r.end();
  },
  gzip(q, r, url) {
    if (!String(q.headers['accept-encoding']).includes('gzip')) return r.writeHead(406).end();
    r.writeHead(200, { 'content-encoding': 'gzip' });
    pipeline(Readable.from(pattern(sizeOf(url))), zlib.createGzip(), r, () => {});
  },
  async digest(q, r) {
    let text = await tally(q) + '\n';
    for (const [name, value] of Object.entries(q.trailers)) text += `${name}: ${value}\n`;
    r.end(text);
  },
  echo(q, r) {
    r.flushHeaders();
    pipeline(q, r, () => {});
  },
  fields(q, r) {
    const lines = [];
    for (let i = 0; i < q.rawHeaders.length; i += 2) {
      lines.push(`${q.rawHeaders[i].toLowerCase()}: ${q.rawHeaders[i + 1]}\n`);
    }
    r.end(lines.sort().join(''));
  },
  redirect(q, r, url) {
    r.writeHead(sizeOf(url), { location: url.searchParams.get('to') }).end();
  },
  refuse(q, r) {
    r.writeHead(413).end();
  },
  peer(q, r) {
    r.end(`${q.socket.remoteAddress}:${q.socket.remotePort}\n`);
  },
  tls(q, r) {
    r.end(`resumed=${q.socket.isSessionReused()} protocol=${q.socket.alpnProtocol || ''}\n`);
  },
  close(q, r) {
    r.writeHead(200, { connection: 'close' });
    routes.peer(q, r);
  },
  early(q, r) {
    r.writeEarlyHints({ link: '</style.css>; rel=preload' });
    r.end('late\n');
  },
  // Three events a connection, from the one after Last-Event-ID, nine in all; then 204.
  events(q, r) {
    const last = Number(q.headers['last-event-id'] ?? 0);
    if (last >= 9) return r.writeHead(204).end();
    r.writeHead(200, { 'content-type': 'text/event-stream' });
    r.write('retry: 20\n\n');
    for (let i = last + 1; i <= last + 3; i++) {
      r.write(`: a comment\nevent: tick\nid: ${i}\ndata: number ${i}\ndata: second line\n\n`);
    }
    r.end('data: unfinished');
  },
};

function answer(q, r) {
  const url = new URL(q.url, 'http://none');
  const route = routes[url.pathname.split('/')[1]];
  q.on('error', () => {});
  if (route) Promise.resolve(route(q, r, url)).catch(() => r.destroy());
  else r.writeHead(404).end();
}

function serve(tls) {
  const mutual = tls.ca ? { requestCert: true, rejectUnauthorized: true } : {};
  const server = tls.cert
    ? https.createServer({ ...tls, ...mutual, ALPNProtocols: ['http/1.1'] }, answer)
    : http.createServer(answer);
  server.on('checkExpectation', answer);
  server.on('checkContinue', (q, r) => {
    if (q.url !== '/refuse') r.writeContinue();
    answer(q, r);
  });
  server.on('upgrade', (q, socket, head) => {
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\n' +
      'Upgrade: echo\r\nConnection: upgrade\r\n\r\n');
    socket.write(head);
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1', () => console.log('listening', server.address().port));
  process.stdin.resume().on('end', () => process.exit(0));
}

// ---- the clients

function equal(got, wanted) {
  if (got !== wanted) throw new Error(`got ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

// By fetch, node's own or the package's; agent is the package's, or nothing.
function fetchCases(base, fetch, more) {
  const get = (path, init) => fetch(base + path, { ...more, ...init });
  const text = async (path, init) => (await get(path, init)).text();
  const upload = async (size) => {
    const body = size === 0 ? '' : Buffer.concat([...pattern(size)]);
    equal(await text('/digest', { method: 'POST', body }), expected(size) + '\n');
  };
  const eachSize = (run) => async () => {
    for (const size of SIZES) await run(size);
  };
  return {
    // It takes another connection when the last reply's end has not sunk in.
    async 'keep-alive'() {
      const used = new Set();
      for (let i = 0; i < 30; i++) used.add(await text('/peer'));
      if (used.size > 5) throw new Error(`30 requests took ${used.size} connections`);
    },
    download: eachSize(async (size) => {
      const reply = await get(`/bytes/${size}`);
      equal(reply.headers.get('content-length'), String(size));
      equal(await tally(reply.body), expected(size));
    }),
    'download chunked': eachSize(async (size) => {
      equal(await tally((await get(`/chunked/${size}`)).body), expected(size));
    }),
    upload: eachSize(upload),
    'upload chunked': eachSize(async (size) => {
      const body = Readable.toWeb(Readable.from(pattern(size)));
      equal(await text('/digest', { method: 'POST', body, duplex: 'half' }), expected(size) + '\n');
    }),
    async head() {
      const reply = await get('/bytes/65536', { method: 'HEAD' });
      equal(reply.headers.get('content-length'), '65536');
      equal(await reply.text(), '');
    },
    async parallel() {
      const one = async (i) => {
        for (let j = 0; j < 10; j++) await upload(i * 1000 + j);
      };
      await Promise.all(Array.from({ length: 16 }, (_, i) => one(i)));
    },
    async 'a reply that is not wanted'() {
      const stop = new AbortController();
      const reply = await get(`/bytes/${64 * MIB}`, { signal: stop.signal });
      for await (const part of reply.body) {
        if (part.length > 0) break;
      }
      stop.abort();
      await upload(1);
    },
    async 'not found'() {
      equal((await get('/no/such/thing')).status, 404);
    },
  };
}

// By the package, what fetch has no words for.
function undiciCases(undici, base, connect) {
  const pool = () => new undici.Client(base, { pipelining: 16, connect });
  return {
    async pipelined() {
      const client = pool();
      const one = async (i) => {
        const reply = await client.request({ path: `/bytes/${i * 100}`, method: 'GET' });
        equal(await tally(reply.body), expected(i * 100));
        return reply;
      };
      await one(1); // it pipelines only once connected
      await Promise.all(Array.from({ length: 100 }, (_, i) => one(i)));
      await client.close();
    },
    async trailers() {
      const client = pool();
      const { body, trailers } = await client.request({ path: '/chunked/65536', method: 'GET' });
      equal(await tally(body), expected(65536));
      equal(trailers['x-digest'], digest(65536));
      await client.close();
    },
    async upgrade() {
      const client = pool();
      const { socket } = await client.upgrade({ path: '/upgrade', protocol: 'echo' });
      const body = Buffer.concat([...pattern(1000000)]);
      socket.end(body);
      equal(await tally(socket), expected(1000000));
      await client.close();
    },
    async echo() {
      const client = pool();
      for (const size of SIZES) {
        const { body } = await client.request(
          { path: '/echo', method: 'POST',
            body: Readable.from(pattern(size), { objectMode: false }) });
        equal(await tally(body), expected(size));
      }
      await client.close();
    },
  };
}

// By node:http, which llhttp parses for.
function httpCases(base, tls) {
  const module = base.startsWith('https:') ? https : http;
  const agent = new module.Agent({ keepAlive: true, ...tls });
  const ask = (path, init) => module.request(base + path, { agent, ...init });
  return {
    agent,
    cases: {
      async expect() {
        const request = ask('/digest', {
          method: 'POST', headers: { expect: '100-continue', 'content-length': 65536 } });
        request.flushHeaders();
        await events.once(request, 'continue');
        for (const part of pattern(65536)) request.write(part);
        request.end();
        const [reply] = await events.once(request, 'response');
        equal((await reply.toArray()).join(''), expected(65536) + '\n');
      },
      async 'expect refused'() {
        const request = ask('/refuse', {
          method: 'POST', headers: { expect: '100-continue', 'content-length': 64 * MIB } });
        request.on('continue', () => request.destroy(new Error('continued')));
        request.flushHeaders();
        const [reply] = await events.once(request, 'response');
        equal(reply.statusCode, 413);
        reply.resume();
        await events.once(reply, 'end');
        request.destroy();
      },
      async 'trailers both ways'() {
        const request = ask('/digest', { method: 'POST', headers: { trailer: 'X-Sum' } });
        for (const part of pattern(100000)) request.write(part);
        request.addTrailers({ 'X-Sum': 'of all' });
        request.end();
        const [reply] = await events.once(request, 'response');
        equal((await reply.toArray()).join(''), `${expected(100000)}\nx-sum: of all\n`);
        const [chunked] = await events.once(ask('/chunked/1000').end(), 'response');
        equal(await tally(chunked), expected(1000));
        equal(chunked.trailers['x-digest'], digest(1000));
      },
    },
  };
}

async function all(name, cases) {
  let failed = 0;
  for (const [what, run] of Object.entries(cases)) {
    try {
      await run();
      console.log(`ok ${name}: ${what}`);
    } catch (error) {
      console.log(`not ok ${name}: ${what}: ${error.stack} ${error.cause?.stack ?? ''}`);
      failed = 1;
    }
  }
  return failed;
}

function load(name) {
  try {
    return require(name);
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    return null;
  }
}

async function check(base, tls) {
  let failed = 0;
  if (!tls.cert) { // node's fetch can be given no certificate
    failed |= await all('fetch', fetchCases(base, fetch, {}));
  }
  const undici = load('undici');
  if (undici) {
    const dispatcher = new undici.Agent({ connect: tls });
    failed |= await all('undici', fetchCases(base, undici.fetch, { dispatcher }));
    await dispatcher.close();
    failed |= await all('undici', undiciCases(undici, base, tls));
  } else {
    console.log('skipped undici: the package is not installed');
  }
  const { agent, cases } = httpCases(base, tls);
  failed |= await all('http', cases);
  agent.destroy();
  return failed;
}

const args = process.argv.slice(2);
const tls = options(args);
if (args[0] === 'serve' && args.length === 1) {
  serve(tls);
} else if (args[0] === 'check' && args.length === 2) {
  check(args[1].replace(/\/$/, ''), tls).then((status) => process.exit(status));
} else {
  console.error('usage: node_http.js [--cert F --key F] [--ca F] serve | check BASE');
  process.exit(2);
}
