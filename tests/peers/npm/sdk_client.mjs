// SPDX-License-Identifier: MIT
// Clients of the protocol's SDK for npm, told what to do by lines of JSON on stdin: any number of
// them in one process. Each command { n, op, name, ... } gets a line { n, ok } or { n, error }.
// What comes unasked is a line { name, notice }, { name, asked }, { name, progress },
// { name, fault } or { name, closed }.
//
//	open    connects a client: sdk (1 or 2), transport (http, sse, stdio), url or command,
//	        headers, capabilities, mode (of sdk 2: what becomes of versionNegotiation)
//	ask     a request: method, params; progress: how often it was told comes with the answer;
//	        cancel: at its first progress
//	tell    a notification
//	listen, unlisten   a subscription of sdk 2: filter
//	drop    breaks the event streams that it has open, as a network would
//	requests   how many HTTP requests of a method it has made
//	end     DELETE of the session
//	close   of the transport
import readline from 'node:readline';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as Sse1 } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport as Stdio1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as Http1 }
	from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Client as Client2, SSEClientTransport as Sse2, StreamableHTTPClientTransport as Http2 }
	from '@modelcontextprotocol/client';
import { StdioClientTransport as Stdio2 } from '@modelcontextprotocol/client/stdio';

const SDK = {
	1: { Client: Client1, http: Http1, sse: Sse1, stdio: Stdio1 },
	2: { Client: Client2, http: Http2, sse: Sse2, stdio: Stdio2 },
};
const TIMEOUT = 45000;
const CAPABILITIES = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
// either SDK takes a schema; this one takes everything
const anything = {
	parse: (value) => value,
	safeParse: (data) => ({ success: true, data }),
	'~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) },
	_def: {}, _zod: { def: {}, run: (payload) => payload },
};
const clients = new Map();

function say(line) {
	process.stdout.write(JSON.stringify(line) + '\n');
}

// What the server may ask of a client.
function answer(request) {
	switch (request.method) {
	case 'sampling/createMessage':
		return { model: 'none', role: 'assistant', stopReason: 'endTurn',
			content: { type: 'text', text: 'sampled é€😀' } };
	case 'elicitation/create':
		return { action: 'accept', content: { username: 'ann', email: 'ann@example.org', name: 'ann' } };
	case 'roots/list':
		return { roots: [{ uri: 'file:///roots/one', name: 'one' }] };
	case 'ping':
		return {};
	default:
		throw Object.assign(new Error('not here: ' + request.method), { code: -32601 });
	}
}

// fetch, whose streams can be broken: all of one client's.
function breakable(held) {
	return async (url, init) => {
		const method = init?.method ?? 'GET';
		held.requests[method] = (held.requests[method] ?? 0) + 1;
		const breaker = new AbortController();
		const signals = [breaker.signal, init?.signal].filter(Boolean);
		const response = await fetch(url, { ...init, signal: AbortSignal.any(signals) });
		if (response.headers.get('content-type')?.startsWith('text/event-stream'))
			held.streams.add(breaker);
		return response;
	};
}

function transport({ sdk, transport, url, command, headers, env }, held) {
	const Kind = SDK[sdk][transport];
	if (transport === 'stdio')
		return new Kind({ command: command[0], args: command.slice(1), stderr: 'ignore',
			env: { ...process.env, ...env } });
	return new Kind(new URL(url), {
		fetch: breakable(held), requestInit: { headers },
		reconnectionOptions: { initialReconnectionDelay: 50, maxReconnectionDelay: 200,
			reconnectionDelayGrowFactor: 1.5, maxRetries: 50 } });
}

// Over stdio and SSE, which may give several messages at once, the SDK's clients lose progress that
// is read along with what comes after it: its handler runs in a later turn, and by then the answer
// has taken it away. So it is taken here as it comes.
function watch(name, held) {
	const take = held.transport.onmessage;
	held.transport.onmessage = (message, extra) => {
		const token = message.params?.progressToken;
		if (message.method === 'notifications/progress' && held.reports.has(token))
			held.reports.get(token)(message.params);
		take(message, extra);
	};
}

const operations = {
	async open(command) {
		command.sdk ??= 1;
		const held = { requests: {}, streams: new Set(), reports: new Map() };
		const client = new SDK[command.sdk].Client({ name: command.name, version: '1' }, {
			capabilities: command.capabilities ?? CAPABILITIES,
			...command.mode ? { versionNegotiation: { mode: command.mode } } : {} });
		held.isPaced = command.transport === 'http';
		const { name } = command;
		client.fallbackNotificationHandler = async (notice) => say({ name, notice });
		const heed = async (request) => {
			say({ name, asked: request.method });
			return answer(request);
		};
		client.fallbackRequestHandler = heed;
		if (command.sdk === 2)
			client.setRequestHandler('elicitation/create', heed);
		client.onerror = (error) => say({ name, fault: String(error?.message ?? error) });
		held.client = client;
		clients.set(name, held);
		held.transport = transport(command, held);
		try {
			await client.connect(held.transport, { timeout: TIMEOUT });
		} catch (error) {
			await client.close().catch(() => {});
			throw error;
		}
		watch(name, held);
		client.onclose = () => say({ name, closed: true });
		return { server: client.getServerVersion(), pid: held.transport.pid,
			capabilities: client.getServerCapabilities(), session: held.transport.sessionId,
			version: client.getNegotiatedProtocolVersion?.() ?? held.transport.protocolVersion,
			era: client.getProtocolEra?.() };
	},
	async ask({ n, name, method, params, progress, cancel }) {
		const held = clients.get(name), told = [], abort = new AbortController();
		const options = { timeout: TIMEOUT, signal: abort.signal };
		const report = (what) => {
			told.push(what);
			say({ name, progress: what });
			if (cancel)
				abort.abort('not wanted any more');
		};
		if ((progress || cancel) && held.isPaced) {
			options.onprogress = report;
		} else if (progress || cancel) {
			params._meta = { progressToken: `token-${n}` };
			held.reports.set(params._meta.progressToken, report);
		}
		const result = await held.client.request({ method, params }, anything, options);
		return { result, progress: told };
	},
	async tell({ name, method, params }) {
		await clients.get(name).client.notification({ method, params });
	},
	async listen({ name, filter }) {
		const subscription = await clients.get(name).client.listen(filter, { timeout: TIMEOUT });
		clients.get(name).subscription = subscription;
	},
	async unlisten({ name }) {
		await clients.get(name).subscription.close();
	},
	async drop({ name }) {
		const { streams } = clients.get(name), count = streams.size;
		streams.forEach((breaker) => breaker.abort(new Error('dropped by the test')));
		streams.clear();
		return count;
	},
	async requests({ name, method }) {
		return clients.get(name).requests[method] ?? 0;
	},
	async end({ name }) {
		await clients.get(name).transport.terminateSession();
	},
	async close({ name }) {
		await clients.get(name).client.close();
		clients.delete(name);
	},
};

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
	const command = JSON.parse(line), { n } = command;
	try {
		say({ n, ok: await operations[command.op](command) ?? null });
	} catch (error) {
		say({ n, error: { code: error?.code, message: String(error?.message ?? error),
			data: error?.data, cause: error?.cause && String(error.cause) } });
	}
}).on('close', async () => {
	await Promise.allSettled([...clients.values()].map(({ client }) => client.close()));
	process.exit(0);
});
say({ ready: true });
