// SPDX-License-Identifier: MIT
// A server of the protocol's SDK for npm, in every form that it knows:
//
//	sdk_server.mjs stdio      on stdin and stdout
//	sdk_server.mjs http       on a port of the kernel's (or PORT=), and says "listening PORT":
//	                          /mcp (sessions, an event store), /plain (sessions, no store),
//	                          /json (sessions, JSON answers), /stateless, /sse with /messages
//
// Its tools have the names that ../../support/mcp_fixture.py gives them. With http, lines on stdin
// are orders, each answered by a line: "forget" ends all sessions (404 from then on), "drop METHOD
// PATH" breaks the event streams that such requests got; "streams METHOD PATH" (open ones), "requests
// METHOD PATH" (ever) and "sessions" count.
import http from 'node:http';
import readline from 'node:readline';
import { randomUUID } from 'node:crypto';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';

const text = (words) => [{ type: 'text', text: words }];
let cancelled = 0; // calls of hang that were, of all sessions

const TOOLS = {
	echo: ({ text: words }) => text(words),
	add: ({ a, b }) => text(String(a + b)),
	pid: () => text(String(process.pid)),
	cancelled: () => text(String(cancelled)),
	async test_tool_with_progress(_, { tell }) {
		for (const progress of [0, 50, 100])
			await tell(progress);
		return text('done');
	},
	async test_tool_with_logging(_, { extra }) {
		for (const data of ['Tool execution started', 'Tool execution completed'])
			await extra.sendNotification({ method: 'notifications/message',
				params: { level: 'info', data } });
		return text('logged');
	},
	async hang(_, { tell, extra }) {
		await tell(0);
		await new Promise((resolve) => extra.signal.addEventListener('abort', resolve));
		cancelled++;
		return text('cancelled');
	},
	// one report for each call of go
	async steps({ count }, { tell }) {
		for (let i = 1; i <= count; i++) {
			await gate();
			await tell(i);
		}
		return text(count + ' steps');
	},
	go() {
		if (waiting.length)
			waiting.shift()();
		else
			allowed++;
		return text('went');
	},
	async test_sampling({ prompt }, { extra }) {
		const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
		const answer = await extra.sendRequest({ method: 'sampling/createMessage',
			params: { maxTokens: 10, messages } }, types.CreateMessageResultSchema);
		return text('LLM response: ' + answer.content.text);
	},
	async test_elicitation({ message }, { extra }) {
		const requestedSchema = { type: 'object', properties: { username: { type: 'string' } } };
		const answer = await extra.sendRequest({ method: 'elicitation/create',
			params: { message, requestedSchema } }, types.ElicitResultSchema);
		return text(`User response: action: ${answer.action}`);
	},
	async roots(_, { extra }) {
		const answer = await extra.sendRequest({ method: 'roots/list' }, types.ListRootsResultSchema);
		return text(JSON.stringify(answer.roots));
	},
};

let allowed = 0;
const waiting = [];

function gate() {
	if (allowed > 0) {
		allowed--;
		return Promise.resolve();
	}
	return new Promise((resolve) => waiting.push(resolve));
}

function makeServer() {
	const server = new Server({ name: 'sdk', version: '1' }, { capabilities: {
		tools: {}, logging: {}, resources: { subscribe: true } } });
	server.setRequestHandler(types.ListToolsRequestSchema, () => ({
		tools: Object.keys(TOOLS).map((name) => ({ name, inputSchema: { type: 'object' } })) }));
	server.setRequestHandler(types.CallToolRequestSchema, async ({ params }, extra) => {
		const progressToken = params._meta?.progressToken;
		const tell = (progress) => progressToken === undefined ? undefined : extra.sendNotification({
			method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
		if (!TOOLS[params.name])
			throw new types.McpError(types.ErrorCode.InvalidParams, 'unknown tool: ' + params.name);
		return { content: await TOOLS[params.name](params.arguments ?? {}, { extra, tell }) };
	});
	server.setRequestHandler(types.ListResourcesRequestSchema, () => ({ resources: [
		{ uri: 'test://watched-resource', name: 'watched' }] }));
	server.setRequestHandler(types.SubscribeRequestSchema, async ({ params }) => {
		// to nobody in particular: it takes the stream of a GET, where there is one
		await server.notification({ method: 'notifications/resources/updated',
			params: { uri: params.uri } });
		return {};
	});
	return server;
}

// Events by their number, for whoever comes back.
class EventStore {
	events = [];
	async storeEvent(stream, message) {
		this.events.push({ stream, message });
		return `${stream}/${this.events.length - 1}`;
	}
	async replayEventsAfter(last, { send }) {
		const [stream, number] = last.split('/');
		for (let i = Number(number) + 1; i < this.events.length; i++)
			if (this.events[i].stream === stream && this.events[i].message.jsonrpc)
				await send(`${stream}/${i}`, this.events[i].message);
		return stream;
	}
}

const OPTIONS = { '/mcp': () => ({ eventStore: new EventStore(), retryInterval: 20 }),
	'/plain': () => ({}), '/json': () => ({ enableJsonResponse: true }) };
const sessions = new Map(); // by path and id
const came = {};
const responses = new Map(); // those under way: to METHOD PATH

async function body(request) {
	const parts = [];
	for await (const part of request)
		parts.push(part);
	return parts.length ? JSON.parse(Buffer.concat(parts)) : undefined;
}

function refuse(response, status, message) {
	response.writeHead(status, { 'Content-Type': 'application/json' });
	response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32000, message } }));
}

async function withSessions(path, request, response, parsed) {
	const id = request.headers['mcp-session-id'];
	let transport = sessions.get(path + id);
	if (id && !transport)
		return refuse(response, 404, 'Session not found');
	if (!transport) {
		transport = new StreamableHTTPServerTransport({ ...OPTIONS[path](), maxRequestBodySize: 1 << 26,
			sessionIdGenerator: randomUUID,
			onsessioninitialized: (made) => sessions.set(path + made, transport),
			onsessionclosed: (made) => sessions.delete(path + made) });
		await makeServer().connect(transport);
	}
	return transport.handleRequest(request, response, parsed);
}

// Each request has a server of its own.
async function withoutSessions(request, response, parsed) {
	if (request.method !== 'POST')
		return refuse(response, 405, 'Method not allowed');
	const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
	const server = makeServer();
	response.on('close', () => server.close());
	await server.connect(transport);
	return transport.handleRequest(request, response, parsed);
}

async function overSse(request, response) {
	const transport = new SSEServerTransport('/messages', response);
	sessions.set('/sse' + transport.sessionId, transport);
	response.on('close', () => sessions.delete('/sse' + transport.sessionId));
	await makeServer().connect(transport);
}

async function serve(request, response) {
	const url = new URL(request.url, 'http://localhost'), path = url.pathname;
	const label = `${request.method} ${path}`;
	came[label] = (came[label] ?? 0) + 1;
	responses.set(response, label);
	response.on('close', () => responses.delete(response));
	if (OPTIONS[path])
		return withSessions(path, request, response, await body(request));
	if (path === '/stateless')
		return withoutSessions(request, response, await body(request));
	if (label === 'GET /sse')
		return overSse(request, response);
	if (label === 'POST /messages') {
		const transport = sessions.get('/sse' + url.searchParams.get('sessionId'));
		return transport ? transport.handlePostMessage(request, response, await body(request))
			: refuse(response, 404, 'Session not found');
	}
	return refuse(response, 404, 'Not found: ' + label);
}

// Event streams, but for those that are only waiting to be sent.
function streamsOf(method, path) {
	return [...responses].filter(([response, label]) => label === `${method} ${path}` &&
		response.headersSent && !response.writableEnded).map(([response]) => response);
}

const ORDERS = {
	forget() {
		const count = sessions.size;
		sessions.forEach((transport) => transport.close());
		sessions.clear();
		return `forgot ${count}`;
	},
	drop(...words) {
		const open = streamsOf(...words);
		open.forEach((response) => response.socket?.destroy());
		return `dropped ${open.length}`;
	},
	streams: (...words) => `streams ${streamsOf(...words).length}`,
	sessions: () => `sessions ${sessions.size}`,
	requests: (...words) => `requests ${came[words.join(' ')] ?? 0}`,
};

function listen() {
	const server = http.createServer((request, response) => serve(request, response).catch((error) => {
		console.error(error);
		response.destroy();
	}));
	server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () =>
		console.log('listening ' + server.address().port));
	readline.createInterface({ input: process.stdin }).on('line', (line) => {
		const [order, ...words] = line.split(' ');
		console.log(ORDERS[order](...words));
	}).on('close', () => process.exit(0));
}

if (process.argv[2] === 'stdio')
	await makeServer().connect(new StdioServerTransport());
else
	listen();
