/* SPDX-License-Identifier: MIT */
/* What a scrape says; see metrics.h. docs/metrics.md lists it. */
#include "base/mem.h"
#include "bridge/messages.h"
#include "bridge/metrics.h"
#include "bridge/process_usage.h"
#include "bridge/record.h"

#include <stdio.h>
#include <string.h>

#define LABELS(array) array, sizeof(array) / sizeof((array)[0])
#define BOUND_SIZE 16

static const char *const directions[COUNTS_DIRECTIONS] = { "to_server", "to_client" };

/* ---- one value ---- */

static void one(
	struct exposition *e, const char *name, const char *type, const char *help, uint64_t value)
{
	exposition_family(e, name, type, help);
	exposition_sample(e, "", NULL, 0, value);
}

static void seconds(
	struct exposition *e, const char *name, const char *type, const char *help, int64_t ns)
{
	exposition_family(e, name, type, help);
	exposition_seconds(e, "", NULL, 0, ns > 0 ? ns : 0);
}

/* ---- the process ---- */

static void process(struct exposition *e)
{
	struct process_usage u;

	process_usage_get(&u);
	seconds(e, "process_cpu_seconds_total", "counter", "User and system CPU time spent.",
		u.cpu_ns);
	one(e, "process_resident_memory_bytes", "gauge", "Resident memory size.", u.resident_bytes);
	one(e, "process_virtual_memory_bytes", "gauge", "Virtual memory size.", u.virtual_bytes);
	one(e, "process_open_fds", "gauge", "Open file descriptors.", u.fds);
	one(e, "process_max_fds", "gauge", "The most file descriptors there may be.", u.fds_max);
	seconds(e, "process_start_time_seconds", "gauge",
		"When the process started, in seconds since 1970.", u.started_ns);
}

/* ---- bridges of either kind ---- */

static void build(struct exposition *e)
{
	struct label labels[] = { { "version", WEFT_VERSION } };

	exposition_family(e, "weft_build_info", "gauge", "1, with the version as label.");
	exposition_sample(e, "", LABELS(labels), 1);
}

static void whole(struct exposition *e, const struct weft_bridge *b)
{
	weft_bridge_stats stats;

	weft_bridge_stats_get(b, &stats);
	seconds(e, "weft_bridge_uptime_seconds", "gauge", "Since the bridge was opened.",
		weft_now() - b->opened_at);
	one(e, "weft_bridge_sessions_cut_total", "counter", "Sessions that the end of a drain cut.",
		stats.sessions_cut);
	one(e, "weft_bridge_children_max", "gauge", "The most that there may be (--max-children).",
		b->options.children_max);
	one(e, "weft_bridge_sessions_max", "gauge",
		"The most sessions that there may be (--max-connections).",
		b->options.connections_max);
}

/* What FROM accepted. */
static void connections(struct exposition *e, uint64_t all, uint64_t refused, size_t now)
{
	one(e, "weft_bridge_connections_total", "counter", "Connections that FROM accepted.", all);
	one(e, "weft_bridge_connections_refused_total", "counter",
		"Connections over the limit, or of a bridge that stops.", refused);
	one(e, "weft_bridge_connections", "gauge", "Connections of FROM that are open.", now);
}

static const char *transport_of(const struct endpoint *from)
{
	if (endpoint_is_mux(from))
		return "mux";
	if (from->kind == ENDPOINT_STDIO)
		return "stdio";
	return from->kind == ENDPOINT_UNIX ? "unix" : from->tls.is_on ? "tls" : "tcp";
}

static void bytes(struct exposition *e, const struct weft_bridge *b)
{
	struct label transport[] = { { "transport", transport_of(&b->from) } };
	weft_bridge_stats stats;

	weft_bridge_stats_get(b, &stats);
	exposition_family(e, "weft_bridge_sessions_total", "counter", "Sessions that began.");
	exposition_sample(e, "", LABELS(transport), stats.sessions);
	exposition_family(e, "weft_bridge_sessions", "gauge", "Sessions that are open.");
	exposition_sample(e, "", LABELS(transport), stats.sessions_now);
	exposition_family(
		e, "weft_bridge_sessions_refused_total", "counter", "Sessions over a limit.");
	exposition_sample(e, "", LABELS(transport), stats.sessions_refused);
	one(e, "weft_bridge_sessions_failed_total", "counter",
		"Sessions whose TO did not open, or where a side was reset.",
		stats.sessions_failed);
	exposition_family(e, "weft_bridge_bytes_total", "counter", "Bytes carried.");
	for (unsigned d = 0; d < COUNTS_DIRECTIONS; d++) {
		struct label labels[] = { { "direction", directions[d] } };

		exposition_sample(e, "", LABELS(labels),
			d == COUNTS_TO_SERVER ? stats.bytes_in : stats.bytes_out);
	}
	if (b->to.kind == ENDPOINT_EXEC) {
		one(e, "weft_bridge_children", "gauge", "Child processes alive.",
			stats.children_now);
		one(e, "weft_bridge_children_started_total", "counter", "Child processes started.",
			counter_get(&b->counters.children));
	}
	one(e, "weft_bridge_mux_sessions_total", "counter",
		"Connections that carry many streams: made and accepted.", stats.mux_sessions);
	one(e, "weft_bridge_mux_sessions", "gauge", "Connections that carry many streams: alive.",
		stats.mux_sessions_now);
}

/* ---- the listener of http: ---- */

static void http(struct exposition *e, const weft_http_server *server)
{
	static const char *const classes[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
	weft_http_server_stats stats;

	weft_http_server_stats_get(server, &stats);
	connections(e, stats.connections, stats.connections_refused, stats.connections_now);
	one(e, "weft_bridge_http_requests_total", "counter", "HTTP requests handled.",
		stats.requests);
	exposition_family(e, "weft_bridge_http_responses_total", "counter",
		"HTTP responses by the class of their status; none: no byte was sent.");
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		struct label labels[] = { { "code", classes[i] } };

		exposition_sample(e, "", LABELS(labels), stats.replies[i]);
	}
	one(e, "weft_bridge_http_timeouts_total", "counter",
		"Connections that ended because the client was too slow.", stats.timeouts);
	one(e, "weft_bridge_http_malformed_total", "counter",
		"HTTP requests that could not be parsed.", stats.malformed);
	one(e, "weft_bridge_http_forbidden_total", "counter",
		"HTTP requests refused for their Host or Origin.", stats.forbidden);
	one(e, "weft_bridge_http_received_bytes_total", "counter", "Bytes read from clients.",
		stats.bytes_in);
	one(e, "weft_bridge_http_sent_bytes_total", "counter", "Bytes written to clients.",
		stats.bytes_out);
}

static void listener(struct exposition *e, const struct weft_bridge *b)
{
	weft_listener_stats stats;

	if (b->from.kind == ENDPOINT_HTTP) {
		http(e, b->messages->http);
	} else if (b->listener) {
		weft_listener_stats_get(b->listener, &stats);
		connections(e, stats.accepted, stats.refused, stats.connections);
	}
}

/* ---- servers of messages ---- */

/* What is known of one, all at one time. */
struct look {
	const struct message_server *server;
	struct counts_cell cell; /* its sums */
	weft_mcp_server_stats mcp;
};

enum when { ALWAYS, IF_CHILD, IF_CONNECTION, IF_HTTP };

struct family {
	const char *name, *type, *help;
	enum when when;
	uint64_t (*get)(const struct look *look);
};

static uint64_t requests(const struct look *l)
{
	return counter_get(&l->cell.requests);
}

static uint64_t in_flight(const struct look *l)
{
	uint64_t all = counter_get(&l->cell.requests), done = counter_get(&l->cell.done);

	return all > done ? all - done : 0;
}

static uint64_t failed(const struct look *l)
{
	return counter_get(&l->server->counts.sessions_failed);
}

static uint64_t alive(const struct look *l)
{
	return counter_get(&l->server->counts.servers_now);
}

static uint64_t started(const struct look *l)
{
	return counter_get(&l->server->counts.servers);
}

static uint64_t restarts(const struct look *l)
{
	return counter_get(&l->server->counts.restarts);
}

static uint64_t lost(const struct look *l)
{
	return counter_get(&l->server->counts.lost);
}

static uint64_t cancelled(const struct look *l)
{
	return counter_get(&l->server->counts.cancelled);
}

static uint64_t late(const struct look *l)
{
	return counter_get(&l->server->counts.late);
}

static uint64_t invalid(const struct look *l)
{
	return counter_get(&l->server->counts.invalid);
}

static uint64_t expired(const struct look *l)
{
	return l->mcp.sessions_expired;
}

static uint64_t unauthorized(const struct look *l)
{
	return l->mcp.refused_auth;
}

static uint64_t streams(const struct look *l)
{
	return l->mcp.streams_now;
}

static uint64_t resumed(const struct look *l)
{
	return l->mcp.resumed;
}

static uint64_t replayed(const struct look *l)
{
	return l->mcp.replayed;
}

static uint64_t kept(const struct look *l)
{
	return l->mcp.replay_bytes;
}

static uint64_t evicted(const struct look *l)
{
	return l->mcp.evicted;
}

static const struct family families[] = {
	{ "weft_bridge_sessions_failed_total", "counter",
		"Sessions whose server did not start, or that were lost.", ALWAYS, failed },
	{ "weft_bridge_sessions_expired_total", "counter", "Sessions ended by a time-out.", IF_HTTP,
		expired },
	{ "weft_bridge_requests_total", "counter", "Requests of clients.", ALWAYS, requests },
	{ "weft_bridge_requests_in_flight", "gauge", "Requests of clients that wait for an answer.",
		ALWAYS, in_flight },
	{ "weft_bridge_requests_cancelled_total", "counter",
		"Requests in flight that their client has cancelled.", ALWAYS, cancelled },
	{ "weft_bridge_requests_unauthorized_total", "counter",
		"HTTP requests without a valid token.", IF_HTTP, unauthorized },
	{ "weft_bridge_messages_invalid_total", "counter",
		"What came, from either side, and was no message, or too large.", ALWAYS, invalid },
	{ "weft_bridge_messages_dropped_total", "counter",
		"Messages of servers that nobody waited for any more.", ALWAYS, late },
	{ "weft_bridge_children", "gauge", "Child processes alive.", IF_CHILD, alive },
	{ "weft_bridge_children_started_total", "counter", "Child processes started.", IF_CHILD,
		started },
	{ "weft_bridge_children_restarts_total", "counter",
		"Child processes started in the place of another.", IF_CHILD, restarts },
	{ "weft_bridge_children_deaths_total", "counter",
		"Child processes that ended by themselves.", IF_CHILD, lost },
	{ "weft_bridge_server_connections", "gauge", "Sessions with the server that are open.",
		IF_CONNECTION, alive },
	{ "weft_bridge_server_connections_total", "counter", "Sessions with the server begun.",
		IF_CONNECTION, started },
	{ "weft_bridge_server_reconnects_total", "counter",
		"Sessions with the server begun in the place of another.", IF_CONNECTION,
		restarts },
	{ "weft_bridge_server_losses_total", "counter", "Sessions with the server that were lost.",
		IF_CONNECTION, lost },
	{ "weft_bridge_streams", "gauge", "Event streams that are open.", IF_HTTP, streams },
	{ "weft_bridge_streams_resumed_total", "counter", "Event streams taken up again.", IF_HTTP,
		resumed },
	{ "weft_bridge_replayed_events_total", "counter", "Events sent again.", IF_HTTP, replayed },
	{ "weft_bridge_replay_bytes", "gauge", "Bytes of events that are kept.", IF_HTTP, kept },
	{ "weft_bridge_replay_evictions_total", "counter",
		"Events that were kept, and dropped for room.", IF_HTTP, evicted },
};

static bool applies(const struct look *l, enum when when)
{
	bool has_children = counter_get(&l->server->is_child) != 0;

	switch (when) {
	case IF_CHILD:
		return has_children;
	case IF_CONNECTION:
		return !has_children;
	case IF_HTTP:
		return l->server->mcp != NULL;
	case ALWAYS:
	default:
		return true;
	}
}

static void families_write(struct exposition *e, const struct look *looks, size_t count)
{
	for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++) {
		bool has_begun = false;

		for (size_t i = 0; i < count; i++) {
			struct label labels[] = { { "server",
				message_server_label(looks[i].server) } };

			if (!applies(&looks[i], families[f].when))
				continue;
			if (!has_begun)
				exposition_family(
					e, families[f].name, families[f].type, families[f].help);
			has_begun = true;
			exposition_sample(e, "", LABELS(labels), families[f].get(&looks[i]));
		}
	}
}

/* Of sessions: by server and by the client's transport; those that FROM can have, and what was there.
 * The front refuses some before anybody knows by which: they are of "http". */
static void by_transport(struct exposition *e, const struct look *looks, size_t count,
	const struct counter *(*get)(const struct relay_counts *counts), bool adds_refused)
{
	const struct endpoint *from = &looks[0].server->bridge->from; /* there is always one */

	for (size_t i = 0; i < count; i++) {
		const struct counter *counters = get(&looks[i].server->counts);

		for (unsigned t = 0; t < COUNTS_TRANSPORTS; t++) {
			struct label labels[] = {
				{ "server", message_server_label(looks[i].server) },
				{ "transport", counts_transport_names[t] },
			};
			bool is_expected = looks[i].server->mcp
				? t == COUNTS_HTTP || t == COUNTS_SSE
				: t == counts_transport_of(transport_of(from));
			uint64_t value = counter_get(&counters[t]);

			if (adds_refused && t == COUNTS_HTTP)
				value += looks[i].mcp.sessions_refused;
			if (value || is_expected)
				exposition_sample(e, "", LABELS(labels), value);
		}
	}
}

static const struct counter *sessions_all(const struct relay_counts *counts)
{
	return counts->sessions;
}

static const struct counter *sessions_now(const struct relay_counts *counts)
{
	return counts->sessions_now;
}

static const struct counter *sessions_refused(const struct relay_counts *counts)
{
	return counts->sessions_refused;
}

static void sessions(struct exposition *e, const struct look *looks, size_t count)
{
	exposition_family(e, "weft_bridge_sessions_total", "counter", "Sessions that began.");
	by_transport(e, looks, count, sessions_all, false);
	exposition_family(e, "weft_bridge_sessions", "gauge", "Sessions that are open.");
	by_transport(e, looks, count, sessions_now, false);
	exposition_family(
		e, "weft_bridge_sessions_refused_total", "counter", "Sessions over a limit.");
	by_transport(e, looks, count, sessions_refused, true);
}

static void errors(struct exposition *e, const struct look *looks, size_t count)
{
	static const char *const by[COUNTS_BYS] = { "server", "bridge" };

	exposition_family(e, "weft_bridge_request_errors_total", "counter",
		"Errors in answers to clients, by who made them, and the class of the JSON-RPC code.");
	for (size_t i = 0; i < count; i++) {
		for (unsigned b = 0; b < COUNTS_BYS; b++) {
			for (unsigned c = 0; c < COUNTS_ERRORS; c++) {
				struct label labels[] = {
					{ "server", message_server_label(looks[i].server) },
					{ "by", by[b] },
					{ "code", counts_error_names[c] },
				};

				exposition_sample(e, "", LABELS(labels),
					counter_get(&looks[i].cell.errors[b][c]));
			}
		}
	}
}

static void moved(struct exposition *e, const struct look *looks, size_t count, const char *name,
	const char *help, bool is_bytes)
{
	exposition_family(e, name, "counter", help);
	for (size_t i = 0; i < count; i++) {
		const struct counts_cell *cell = &looks[i].cell;

		for (unsigned d = 0; d < COUNTS_DIRECTIONS; d++) {
			struct label labels[] = {
				{ "server", message_server_label(looks[i].server) },
				{ "direction", directions[d] },
			};

			exposition_sample(e, "", LABELS(labels),
				counter_get(is_bytes ? &cell->bytes[d] : &cell->messages[d]));
		}
	}
}

/* "0.0025", as short as it is. */
static void bound_text(char text[BOUND_SIZE], int64_t ns)
{
	size_t len = (size_t)snprintf(text, BOUND_SIZE, "%lld.%04lld", (long long)(ns / 1000000000),
		(long long)(ns % 1000000000 / 100000));

	while (text[len - 1] == '0')
		text[--len] = '\0';
	if (text[len - 1] == '.')
		text[--len] = '\0';
}

static void histogram_of(struct exposition *e, const struct look *l)
{
	char bound[BOUND_SIZE] = "+Inf";
	struct label labels[] = { { "server", message_server_label(l->server) }, { "le", bound } };
	uint64_t sum = 0;

	for (unsigned i = 0; i < COUNTS_BUCKETS; i++) {
		bound_text(bound, counts_bounds_ns[i]);
		sum += counter_get(&l->cell.latency[i]);
		exposition_sample(e, "_bucket", LABELS(labels), sum);
	}
	memcpy(bound, "+Inf", sizeof("+Inf"));
	sum += counter_get(&l->cell.latency[COUNTS_BUCKETS]);
	exposition_sample(e, "_bucket", LABELS(labels), sum);
	exposition_seconds(e, "_sum", labels, 1, (int64_t)counter_get(&l->cell.latency_ns));
	exposition_sample(e, "_count", labels, 1, sum);
}

static void servers(struct exposition *e, const struct messages *m)
{
	size_t count = messages_count(m);
	struct look *looks = mem_calloc(count, sizeof(*looks));

	if (!looks) {
		e->text.has_failed = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		looks[i].server = m->servers[i];
		counts_sum(&m->servers[i]->counts, &looks[i].cell);
		if (m->servers[i]->mcp)
			weft_mcp_server_stats_get(m->servers[i]->mcp, &looks[i].mcp);
	}
	sessions(e, looks, count);
	families_write(e, looks, count);
	errors(e, looks, count);
	moved(e, looks, count, "weft_bridge_messages_total", "Messages, at the client's side.",
		false);
	moved(e, looks, count, "weft_bridge_message_bytes_total", "Their bytes.", true);
	exposition_family(e, "weft_bridge_request_duration_seconds", "histogram",
		"From a request's arrival to its answer, of those that were answered.");
	for (size_t i = 0; i < count; i++)
		histogram_of(e, &looks[i]);
	mem_free(looks);
}

/* ---- the recording ---- */

static void recording(struct exposition *e, const struct recorder *recorder)
{
	struct recorder_stats stats;

	recorder_stats_get(recorder, &stats);
	one(e, "weft_recording_messages_total", "counter", "Messages that were recorded.",
		stats.lines);
	one(e, "weft_recording_lost_messages_total", "counter",
		"Messages that are not in the recording, since it could not be written.",
		stats.lost);
	one(e, "weft_recording_written_bytes_total", "counter", "Bytes that were written to it.",
		stats.bytes);
	one(e, "weft_recording_pending_bytes", "gauge", "Bytes that wait to be written to it.",
		stats.pending);
}

/* ---- all ---- */

void metrics_write(const struct weft_bridge *bridge, struct exposition *out)
{
	build(out);
	whole(out, bridge);
	listener(out, bridge);
	if (bridge->messages)
		servers(out, bridge->messages);
	else
		bytes(out, bridge);
	if (bridge->recorder)
		recording(out, bridge->recorder);
	process(out);
}
