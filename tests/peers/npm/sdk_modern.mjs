// SPDX-License-Identifier: MIT
// A server of the second edition of the protocol's SDK for npm, which knows the revision without
// sessions, 2026-07-28, and those before it:
//
//	sdk_modern.mjs stdio      on stdin and stdout
//	sdk_modern.mjs http       on a port of the kernel's, and says "listening PORT"
//
// Its tools have the names that ../../support/mcp_fixture.py gives them.
import http from 'node:http';
import { Server, createMcpHandler, inputRequired } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { toNodeHandler } from '@modelcontextprotocol/node';

const text = (words) => ({ content: [{ type: 'text', text: words }] });
let cancelled = 0;

let tellAll = (server) => server.sendToolListChanged(); // who subscribes

const TOOLS = {
	echo: ({ text: words }) => text(words),
	add: ({ a, b }) => text(String(a + b)),
	cancelled: () => text(String(cancelled)),
	async touch(_, ctx, tell, server) {
		await tellAll(server);
		return text('touched');
	},
	async test_tool_with_progress(_, ctx, tell) {
		for (const progress of [0, 50, 100])
			await tell(progress);
		return text('done');
	},
	async hang(_, ctx, tell) {
		await tell(0);
		await new Promise((resolve) => ctx.mcpReq.signal.addEventListener('abort', resolve));
		cancelled++;
		return text('cancelled');
	},
	// the server's question is an answer, and the client's answer a request
	test_elicitation({ message }, ctx) {
		const said = ctx.mcpReq.inputResponses?.who;
		if (!said)
			return inputRequired({ inputRequests: { who: inputRequired.elicit({ message,
				requestedSchema: { type: 'object', properties: { username: { type: 'string' } } } }) } });
		return text(`User response: ${JSON.stringify(said)}`);
	},
};

function make() {
	const server = new Server({ name: 'sdk', version: '2' }, { capabilities: {
		tools: { listChanged: true }, resources: { subscribe: true } } });
	server.setRequestHandler('tools/list', () => ({
		tools: Object.keys(TOOLS).map((name) => ({ name, inputSchema: { type: 'object' } })) }));
	server.setRequestHandler('tools/call', ({ params }, ctx) => {
		const progressToken = params._meta?.progressToken ?? ctx.mcpReq._meta?.progressToken;
		const tell = (progress) => progressToken === undefined ? undefined : ctx.mcpReq.notify({
			method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
		if (!TOOLS[params.name])
			throw Object.assign(new Error('unknown tool: ' + params.name), { code: -32602 });
		return TOOLS[params.name](params.arguments ?? {}, ctx, tell, server);
	});
	return server;
}

if (process.argv[2] === 'stdio') {
	serveStdio(make);
} else {
	const handler = createMcpHandler(make, { maxRequestBodySize: 1 << 26 });
	tellAll = () => handler.notify.toolsChanged();
	const server = http.createServer(toNodeHandler(handler));
	server.listen(0, '127.0.0.1', () => console.log('listening ' + server.address().port));
	process.stdin.on('end', () => process.exit(0)).resume();
}
