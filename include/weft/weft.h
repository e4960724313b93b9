/* SPDX-License-Identifier: MIT */
#ifndef WEFT_WEFT_H
#define WEFT_WEFT_H

/* Everything at once. */
#include <weft/base.h>
#include <weft/bridge.h>
#include <weft/broadcast.h>
#include <weft/buf.h>
#include <weft/cancel.h>
#include <weft/cell.h>
#include <weft/chan.h>
#include <weft/conn.h>
#include <weft/http.h>
#include <weft/http_client.h>
#include <weft/http_server.h>
#include <weft/hub.h>
#include <weft/json.h>
#include <weft/jsonrpc.h>
#include <weft/log.h>
#include <weft/map.h>
#include <weft/mcp_server.h>
#include <weft/mutex.h>
#include <weft/mux.h>
#include <weft/mux_poller.h>
#include <weft/net.h>
#include <weft/once.h>
#include <weft/oneshot.h>
#include <weft/park.h>
#include <weft/process.h>
#include <weft/replay.h>
#include <weft/rpc.h>
#include <weft/runtime.h>
#include <weft/scope.h>
#include <weft/select.h>
#include <weft/signal.h>
#include <weft/sim.h>
#include <weft/sse.h>
#include <weft/sse_client.h>
#include <weft/tls.h>
#include <weft/transport.h>
#include <weft/watch.h>

#endif
