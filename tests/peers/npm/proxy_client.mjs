// SPDX-License-Identifier: MIT
// mcp-proxy's client side, which its command has not but its library: a stdio server before a
// remote one. proxy_client.mjs HTTPStream|SSE URL
import { startStdioServer } from 'mcp-proxy';

await startStdioServer({ serverType: process.argv[2], url: process.argv[3] });
