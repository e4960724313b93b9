/* SPDX-License-Identifier: MIT */
/*
 * weft's mux beside peers/go_mux and peers/raw_flow.c; mux_rows.h says what is measured.
 * An end is one worker with a core of its own; in one process there are as many workers
 * as processors may be used, and each end is on one of them.
 *
 * mux [-v 1|2] [--stream-buffer BYTES] [--read-buf] ROLE ROW [PORT]
 *   --stream-buffer   max_stream_buffer; and 16 MiB in place of 4 as max_receive_buffer
 *   --read-buf        flows are read by weft_stream_read_buf, without a copy
 */
#include "must.h"
#include "mux_rows.h"

#include <getopt.h>

#define PATIENCE weft_after_ms(60000)

struct plan { /* from the command line; not changed after */
	const struct mux_row *row;
	weft_mux_options mux;
	bool read_buf;
	bool single;
	uint16_t port;
	int listener;
};

struct end {
	const struct plan *plan;
	weft_mux *mux;
	struct meter meter;
	int64_t until_ns; /* of what is measured */
	uint64_t counted, total;
};

/* A fiber of its own: one stream of a flow, or one of the openers. */
struct lane {
	struct end *end;
	weft_stream *stream;
	size_t number;
	uint64_t counted;
};

static struct round_trips round_trips;

/* Runs fn for each lane, in a fiber each, to their end. */
static void each_lane(struct lane *lanes, size_t count, weft_fiber_fn fn)
{
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	for (size_t i = 0; i < count; i++)
		must(weft_scope_spawn(scope, NULL, fn, &lanes[i]), "weft_scope_spawn");
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	weft_scope_free(scope);
}

static void stream_write(weft_stream *stream, const void *data, size_t size)
{
	must(weft_stream_write(stream, data, size, NULL, WEFT_FOREVER), "weft_stream_write");
}

/* False at the end of the stream, or of the session. */
static bool stream_read(weft_stream *stream, void *data, size_t size, size_t *got)
{
	weft_err err = weft_stream_read(stream, data, size, got, WEFT_FOREVER);
	if (err == WEFT_ECLOSED || err == WEFT_ERESET)
		return false;
	must(err, "weft_stream_read");
	return true;
}

static bool stream_read_full(weft_stream *stream, void *data, size_t size)
{
	size_t got;
	for (size_t at = 0; at < size; at += got) {
		if (!stream_read(stream, (char *)data + at, size - at, &got))
			return false;
	}
	return true;
}

static void stream_read_all(weft_stream *stream, void *data, size_t size)
{
	errno = 0;
	if (!stream_read_full(stream, data, size))
		bench_die("a stream ended early");
}

static weft_stream *stream_open(struct end *end)
{
	weft_stream *stream = NULL;
	must(weft_mux_open(end->mux, &stream, PATIENCE), "weft_mux_open");
	return stream;
}

/* NULL once the session is over. */
static weft_stream *stream_accept(struct end *end)
{
	weft_stream *stream = NULL;
	weft_err err = weft_mux_accept(end->mux, &stream, PATIENCE);
	if (err == WEFT_ERESET || err == WEFT_ECLOSED)
		return NULL;
	must(err, "weft_mux_accept");
	return stream;
}

static weft_stream *stream_accept_one(struct end *end)
{
	weft_stream *stream = stream_accept(end);
	errno = 0;
	if (!stream)
		bench_die("the session ended early");
	return stream;
}

/* The server ends the session once it has seen everything. */
static void wait_for_the_end(struct end *end)
{
	errno = 0;
	if (stream_accept(end))
		bench_die("a stream that nobody opens");
}

/* --- flows ---------------------------------------------------------------------------- */

static weft_err write_checked(void *arg)
{
	struct lane *lane = arg;
	const struct mux_row *row = lane->end->plan->row;
	unsigned char number = (unsigned char)lane->number;
	stream_write(lane->stream, &number, 1);
	for (size_t at = 0; at < row->checked; at += row->write_size)
		stream_write(lane->stream, pattern_at(lane->number, at), row->write_size);
	stream_read_all(lane->stream, &number, 1);
	return WEFT_OK;
}

static weft_err write_on(void *arg)
{
	struct lane *lane = arg;
	size_t size = lane->end->plan->row->write_size;
	unsigned look_every = size > MESSAGE_SIZE ? 1 : LOOK_EVERY;
	while (bench_now_ns() < lane->end->until_ns) {
		for (unsigned i = 0; i < look_every; i++)
			stream_write(lane->stream, pattern, size);
		lane->counted += look_every * size;
	}
	weft_stream_free(lane->stream);
	return WEFT_OK;
}

static void *buffer_new(size_t size)
{
	void *data = malloc(size);
	if (!data)
		bench_die("malloc");
	return data;
}

static weft_err read_checked(void *arg)
{
	struct lane *lane = arg;
	const struct mux_row *row = lane->end->plan->row;
	unsigned char number;
	char *data = buffer_new(row->read_size);
	size_t got;
	stream_read_all(lane->stream, &number, 1);
	for (size_t at = 0; at < row->checked; at += got) {
		size_t left = row->checked - at;
		errno = 0;
		if (!stream_read(lane->stream, data, left < row->read_size ? left : row->read_size,
			    &got))
			bench_die("a stream ended early");
		pattern_compare(number, at, data, got);
	}
	stream_write(lane->stream, "k", 1);
	free(data);
	return WEFT_OK;
}

static weft_err read_on(void *arg)
{
	struct lane *lane = arg;
	size_t size = lane->end->plan->row->read_size, got;
	char *data = buffer_new(size);
	while (stream_read(lane->stream, data, size, &got))
		lane->counted += got;
	free(data);
	return WEFT_OK;
}

static weft_err read_on_buf(void *arg)
{
	struct lane *lane = arg;
	weft_buf data;
	weft_err err;
	while (!(err = weft_stream_read_buf(lane->stream, &data, 0, WEFT_FOREVER))) {
		lane->counted += data.len;
		weft_buf_unref(&data);
	}
	if (err != WEFT_ECLOSED)
		must(err, "weft_stream_read_buf");
	return WEFT_OK;
}

static void flow_sum(struct end *end, const struct lane *lanes)
{
	const struct mux_row *row = end->plan->row;
	for (size_t i = 0; i < row->lanes; i++)
		end->counted += lanes[i].counted;
	end->total = end->counted + row->lanes * row->checked;
}

static void flow_client(struct end *end)
{
	struct lane lanes[LANES_MAX];
	size_t count = end->plan->row->lanes;
	for (size_t i = 0; i < count; i++)
		lanes[i] = (struct lane){ end, stream_open(end), i, 0 };
	each_lane(lanes, count, write_checked);
	end->until_ns = meter_begin(&end->meter);
	each_lane(lanes, count, write_on);
	wait_for_the_end(end);
	meter_end(&end->meter);
	flow_sum(end, lanes);
}

static void flow_server(struct end *end)
{
	const struct mux_row *row = end->plan->row;
	struct lane lanes[LANES_MAX];
	for (size_t i = 0; i < row->lanes; i++)
		lanes[i] = (struct lane){ end, stream_accept_one(end), i, 0 };
	each_lane(lanes, row->lanes, read_checked);
	meter_begin(&end->meter);
	each_lane(lanes, row->lanes, end->plan->read_buf ? read_on_buf : read_on);
	meter_end(&end->meter);
	flow_sum(end, lanes);
	meter_report_rate(&end->meter, (double)end->counted / row->unit_bytes, row->unit);
	for (size_t i = 0; i < row->lanes; i++)
		weft_stream_free(lanes[i].stream);
}

/* --- ping-pong ------------------------------------------------------------------------ */

static void pingpong_client(struct end *end)
{
	weft_stream *stream = stream_open(end);
	char reply[MESSAGE_SIZE];
	for (size_t i = 0; i < ROUND_TRIPS_CHECKED; i++) {
		stream_write(stream, pattern_at(i, 0), sizeof reply);
		stream_read_all(stream, reply, sizeof reply);
		pattern_compare(i, 0, reply, sizeof reply);
	}
	int64_t until = meter_begin(&end->meter), before = end->meter.began_ns;
	while (before < until) {
		stream_write(stream, pattern, sizeof reply);
		stream_read_all(stream, reply, sizeof reply);
		int64_t now = bench_now_ns();
		round_trips_add(&round_trips, now - before);
		before = now;
	}
	meter_end(&end->meter);
	end->counted = round_trips.count;
	end->total = round_trips.count + ROUND_TRIPS_CHECKED;
	round_trips_report(&end->meter, &round_trips);
	weft_stream_free(stream);
	wait_for_the_end(end);
}

static void pingpong_server(struct end *end)
{
	weft_stream *stream = stream_accept_one(end);
	char data[MESSAGE_SIZE];
	while (stream_read_full(stream, data, sizeof data)) {
		if (end->total++ == ROUND_TRIPS_CHECKED)
			meter_begin(&end->meter);
		stream_write(stream, data, sizeof data);
	}
	meter_end(&end->meter);
	end->counted = end->total - ROUND_TRIPS_CHECKED;
	weft_stream_free(stream);
}

/* --- open, echo, close ---------------------------------------------------------------- */

static void open_once(struct end *end, size_t check)
{
	char reply[MESSAGE_SIZE];
	weft_stream *stream = stream_open(end);
	stream_write(stream, pattern_at(check, 0), sizeof reply);
	stream_read_all(stream, reply, sizeof reply);
	if (check)
		pattern_compare(check, 0, reply, sizeof reply);
	weft_stream_free(stream);
}

static weft_err opener_checked(void *arg)
{
	struct lane *lane = arg;
	for (size_t i = 1; i <= OPENS_CHECKED; i++)
		open_once(lane->end, lane->number * OPENS_CHECKED + i);
	return WEFT_OK;
}

static weft_err opener(void *arg)
{
	struct lane *lane = arg;
	for (; bench_now_ns() < lane->end->until_ns; lane->counted++)
		open_once(lane->end, 0);
	return WEFT_OK;
}

static void open_client(struct end *end)
{
	struct lane lanes[OPENERS];
	for (size_t i = 0; i < OPENERS; i++)
		lanes[i] = (struct lane){ end, NULL, i, 0 };
	each_lane(lanes, OPENERS, opener_checked);
	end->until_ns = meter_begin(&end->meter);
	each_lane(lanes, OPENERS, opener);
	meter_end(&end->meter);
	for (size_t i = 0; i < OPENERS; i++)
		end->counted += lanes[i].counted;
	end->total = end->counted + OPENERS * OPENS_CHECKED;
	meter_report_rate(&end->meter, (double)end->counted, "streams/s");
}

static weft_err echo(void *arg)
{
	weft_stream *stream = arg;
	char data[ECHO_SIZE];
	size_t got;
	while (stream_read(stream, data, sizeof data, &got))
		stream_write(stream, data, got);
	weft_stream_free(stream);
	return WEFT_OK;
}

static void open_server(struct end *end)
{
	weft_scope *scope = NULL;
	weft_stream *stream;
	must(weft_scope_create(&scope), "weft_scope_create");
	while ((stream = stream_accept(end)) != NULL) {
		if (end->total++ == OPENERS * OPENS_CHECKED)
			meter_begin(&end->meter);
		must(weft_scope_spawn(scope, NULL, echo, stream), "weft_scope_spawn");
	}
	must(weft_scope_wait(scope, PATIENCE), "weft_scope_wait");
	meter_end(&end->meter);
	end->counted = end->total - OPENERS * OPENS_CHECKED;
	weft_scope_free(scope);
}

/* --- idle streams --------------------------------------------------------------------- */

/* The first batch comes before the measuring; IDLE_BATCH more than are measured. */
static size_t idle_streams(void)
{
	return bench_count(IDLE_STREAMS) + IDLE_BATCH;
}

/* The handles, in memory that is there already. */
static weft_stream **idle_handles(void)
{
	weft_stream **handles = buffer_new(idle_streams() * sizeof *handles);
	memset(handles, 1, idle_streams() * sizeof *handles);
	return handles;
}

static void idle_client(struct end *end)
{
	weft_stream **handles = idle_handles();
	size_t count = idle_streams();
	char answer;
	for (size_t i = 0; i < count; i++) {
		handles[i] = stream_open(end);
		if ((i + 1) % IDLE_BATCH == 0)
			stream_read_all(handles[0], &answer, 1);
	}
	wait_for_the_end(end);
	for (size_t i = 0; i < count; i++)
		weft_stream_free(handles[i]);
	free(handles);
}

static void idle_server(struct end *end)
{
	weft_stream **handles = idle_handles();
	size_t count = idle_streams();
	double before = 0;
	for (size_t i = 0; i < count; i++) {
		handles[i] = stream_accept_one(end);
		if (i + 1 == IDLE_BATCH)
			before = bench_memory_bytes();
		if ((i + 1) % IDLE_BATCH == 0)
			stream_write(handles[0], "k", 1);
	}
	double used = bench_memory_bytes() - before;
	meter_report_as(&end->meter, "", used / (double)(count - IDLE_BATCH), "bytes");
	for (size_t i = 0; i < count; i++)
		weft_stream_free(handles[i]);
	free(handles);
}

/* --- the ends ------------------------------------------------------------------------- */

static void (*const clients[])(struct end *) = {
	[ROW_FLOW] = flow_client,
	[ROW_PINGPONG] = pingpong_client,
	[ROW_OPEN] = open_client,
	[ROW_IDLE] = idle_client,
};
static void (*const servers[])(struct end *) = {
	[ROW_FLOW] = flow_server,
	[ROW_PINGPONG] = pingpong_server,
	[ROW_OPEN] = open_server,
	[ROW_IDLE] = idle_server,
};

/* In one process the end that reports the figure speaks for both. */
static bool client_reports(const struct mux_row *row)
{
	return row->kind == ROW_PINGPONG || row->kind == ROW_OPEN;
}

/* Of all that went through this end, there and back, in copies of what a write, or one way of a round
 * trip, carries. */
static void copies_report(const struct end *end)
{
	weft_mux_stats stats;
	double message = end->plan->row->kind == ROW_FLOW ? (double)end->plan->row->write_size
							  : MESSAGE_SIZE;
	weft_mux_stats_get(end->mux, &stats);
	double copied = (double)(stats.bytes_in - stats.uncopied_in) +
		(double)(stats.bytes_out - stats.uncopied_out);
	if (!end->meter.quiet)
		meter_report_each(&end->meter, "copies",
			copied / message / ((double)end->total / meter_unit(&end->meter)));
}

static void end_run(const struct plan *plan, weft_conn *conn, weft_mux_role role)
{
	bool is_client = role == WEFT_MUX_CLIENT;
	struct end end = { .plan = plan };
	end.meter.row = plan->row;
	end.meter.end = plan->single ? "" : is_client ? "-client" : "-server";
	end.meter.quiet = plan->row->kind == ROW_IDLE ||
		(plan->single && is_client != client_reports(plan->row));
	must(weft_mux_create_own(&end.mux, conn, role, &plan->mux), "weft_mux_create_own");
	(is_client ? clients : servers)[plan->row->kind](&end);
	meter_report(&end.meter, end.counted, end.total);
	copies_report(&end);
	weft_mux_close(end.mux);
	/* What was written last is on its way still. */
	weft_err err = weft_mux_wait(end.mux, PATIENCE);
	if (err != WEFT_ECLOSED && err != WEFT_ERESET)
		must(err, "weft_mux_wait");
	weft_mux_free(end.mux);
}

static weft_conn *adopt(int fd, const char *name)
{
	weft_conn *conn = NULL;
	must(weft_conn_adopt_own(&conn, fd, fd, false, name), "weft_conn_adopt_own");
	return conn;
}

static weft_err client_main(void *arg)
{
	const struct plan *plan = arg;
	end_run(plan, adopt(tcp_dial(plan->port), "client"), WEFT_MUX_CLIENT);
	return WEFT_OK;
}

static weft_err server_main(void *arg)
{
	const struct plan *plan = arg;
	end_run(plan, adopt(tcp_accept(plan->listener), "server"), WEFT_MUX_SERVER);
	return WEFT_OK;
}

/* The dial does not wait for the accept. */
static weft_err single_main(void *arg)
{
	weft_fiber *client = NULL;
	must(weft_spawn_on(weft_worker_count() - 1, &client, "client", client_main, arg),
		"weft_spawn_on");
	weft_yield();
	must(server_main(arg), "server");
	must(weft_fiber_join(client, NULL, PATIENCE), "weft_fiber_join");
	return WEFT_OK;
}

static int usage(void)
{
	fputs("usage: mux [-v 1|2] [--stream-buffer BYTES] [--read-buf] "
	      "server ROW | client ROW PORT | single ROW\n",
		stderr);
	return 2;
}

static bool options_parse(int argc, char **argv, struct plan *plan)
{
	static const struct option names[] = {
		{ "stream-buffer", required_argument, NULL, 'b' },
		{ "read-buf", no_argument, NULL, 'r' },
		{ NULL, 0, NULL, 0 },
	};
	int option;
	while ((option = getopt_long(argc, argv, "v:", names, NULL)) != -1) {
		if (option == 'v') {
			plan->mux.version = (unsigned)strtoul(optarg, NULL, 10);
		} else if (option == 'b') {
			plan->mux.max_stream_buffer = strtoul(optarg, NULL, 10);
			plan->mux.max_receive_buffer = 16 << 20;
		} else if (option == 'r') {
			plan->read_buf = true;
		} else {
			return false;
		}
	}
	return argc - optind >= 2;
}

int main(int argc, char **argv)
{
	struct plan plan = { .mux = WEFT_MUX_OPTIONS_DEFAULT };
	if (!options_parse(argc, argv, &plan))
		return usage();
	const char *role = argv[optind];
	plan.row = mux_row_find(argv[optind + 1]);
	plan.single = !strcmp(role, "single");
	if (!plan.row || (plan.read_buf && plan.row->kind != ROW_FLOW))
		return usage();
	pattern_fill();
	if (!strcmp(role, "client") && argc - optind == 3) {
		plan.port = (uint16_t)strtoul(argv[optind + 2], NULL, 10);
		must_run(client_main, &plan, 1);
		return 0;
	}
	if (!plan.single && strcmp(role, "server"))
		return usage();
	plan.listener = tcp_listen(&plan.port);
	if (plan.single) {
		must_run(single_main, &plan, 0);
	} else {
		printf("port %d\n", plan.port);
		fflush(stdout);
		must_run(server_main, &plan, 1);
	}
	return 0;
}
