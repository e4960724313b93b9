/* SPDX-License-Identifier: MIT */
/*
 * Plain TCP beside mux.c: blocking sockets without Nagle's delay, a connection and a
 * thread at each end in place of a stream and a fiber. The rows that need streams to be
 * opened or to idle have no counterpart here (exit status 2).
 *
 * raw_flow server ROW | client ROW PORT | single ROW     (mux_rows.h)
 */
#include "../mux_rows.h"

struct end {
	const struct mux_row *row;
	struct meter meter;
	int64_t until_ns;
	uint64_t counted, total;
	int listener;
	uint16_t port;
	bool single;
};

struct lane {
	struct end *end;
	int fd;
	size_t number;
	uint64_t counted;
};

static struct round_trips round_trips;

static void each_lane(struct lane *lanes, size_t count, void *(*fn)(void *))
{
	pthread_t threads[LANES_MAX];
	for (size_t i = 0; i < count; i++) {
		if (pthread_create(&threads[i], NULL, fn, &lanes[i]))
			bench_die("pthread_create");
	}
	for (size_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void write_all(int fd, const void *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t put = write(fd, (const char *)data + at, size - at);
		if (put <= 0)
			bench_die("write");
		at += (size_t)put;
	}
}

/* 0 at the end. */
static size_t read_some(int fd, void *data, size_t size)
{
	ssize_t got = read(fd, data, size);
	if (got < 0)
		bench_die("read");
	return (size_t)got;
}

static bool read_full(int fd, void *data, size_t size)
{
	size_t got;
	for (size_t at = 0; at < size; at += got) {
		got = read_some(fd, (char *)data + at, size - at);
		if (!got)
			return false;
	}
	return true;
}

static void read_all(int fd, void *data, size_t size)
{
	if (!read_full(fd, data, size))
		bench_die("a connection ended early");
}

/* --- flows ---------------------------------------------------------------------------- */

static void *write_checked(void *arg)
{
	struct lane *lane = arg;
	const struct mux_row *row = lane->end->row;
	unsigned char number = (unsigned char)lane->number;
	write_all(lane->fd, &number, 1);
	for (size_t at = 0; at < row->checked; at += row->write_size)
		write_all(lane->fd, pattern_at(lane->number, at), row->write_size);
	read_all(lane->fd, &number, 1);
	return NULL;
}

static void *write_on(void *arg)
{
	struct lane *lane = arg;
	size_t size = lane->end->row->write_size;
	unsigned look_every = size > MESSAGE_SIZE ? 1 : LOOK_EVERY;
	while (bench_now_ns() < lane->end->until_ns) {
		for (unsigned i = 0; i < look_every; i++)
			write_all(lane->fd, pattern, size);
		lane->counted += look_every * size;
	}
	shutdown(lane->fd, SHUT_WR);
	return NULL;
}

static void *read_checked(void *arg)
{
	struct lane *lane = arg;
	const struct mux_row *row = lane->end->row;
	unsigned char number;
	char data[WRITE_SIZE_MAX];
	size_t got;
	read_all(lane->fd, &number, 1);
	for (size_t at = 0; at < row->checked; at += got) {
		size_t left = row->checked - at;
		got = read_some(lane->fd, data, left < row->read_size ? left : row->read_size);
		errno = 0;
		if (!got)
			bench_die("a connection ended early");
		pattern_compare(number, at, data, got);
	}
	write_all(lane->fd, "k", 1);
	return NULL;
}

static void *read_on(void *arg)
{
	struct lane *lane = arg;
	size_t size = lane->end->row->read_size, got;
	char data[WRITE_SIZE_MAX];
	while ((got = read_some(lane->fd, data, size)) != 0)
		lane->counted += got;
	return NULL;
}

static void flow_sum(struct end *end, const struct lane *lanes)
{
	for (size_t i = 0; i < end->row->lanes; i++)
		end->counted += lanes[i].counted;
	end->total = end->counted + end->row->lanes * end->row->checked;
}

static void flow_client(struct end *end)
{
	struct lane lanes[LANES_MAX];
	size_t count = end->row->lanes;
	char byte;
	for (size_t i = 0; i < count; i++)
		lanes[i] = (struct lane){ end, tcp_dial(end->port), i, 0 };
	each_lane(lanes, count, write_checked);
	end->until_ns = meter_begin(&end->meter);
	each_lane(lanes, count, write_on);
	for (size_t i = 0; i < count; i++) {
		read_some(lanes[i].fd, &byte, 1);
		close(lanes[i].fd);
	}
	meter_end(&end->meter);
	flow_sum(end, lanes);
}

static void flow_server(struct end *end)
{
	const struct mux_row *row = end->row;
	struct lane lanes[LANES_MAX];
	for (size_t i = 0; i < row->lanes; i++)
		lanes[i] = (struct lane){ end, tcp_accept(end->listener), i, 0 };
	each_lane(lanes, row->lanes, read_checked);
	meter_begin(&end->meter);
	each_lane(lanes, row->lanes, read_on);
	meter_end(&end->meter);
	flow_sum(end, lanes);
	meter_report_rate(&end->meter, (double)end->counted / row->unit_bytes, row->unit);
	for (size_t i = 0; i < row->lanes; i++)
		close(lanes[i].fd);
}

/* --- ping-pong ------------------------------------------------------------------------ */

static void pingpong_client(struct end *end)
{
	int fd = tcp_dial(end->port);
	char reply[MESSAGE_SIZE];
	for (size_t i = 0; i < ROUND_TRIPS_CHECKED; i++) {
		write_all(fd, pattern_at(i, 0), sizeof reply);
		read_all(fd, reply, sizeof reply);
		pattern_compare(i, 0, reply, sizeof reply);
	}
	int64_t until = meter_begin(&end->meter), before = end->meter.began_ns;
	while (before < until) {
		write_all(fd, pattern, sizeof reply);
		read_all(fd, reply, sizeof reply);
		int64_t now = bench_now_ns();
		round_trips_add(&round_trips, now - before);
		before = now;
	}
	meter_end(&end->meter);
	end->counted = round_trips.count;
	end->total = round_trips.count + ROUND_TRIPS_CHECKED;
	round_trips_report(&end->meter, &round_trips);
	close(fd);
}

static void pingpong_server(struct end *end)
{
	int fd = tcp_accept(end->listener);
	char data[MESSAGE_SIZE];
	while (read_full(fd, data, sizeof data)) {
		if (end->total++ == ROUND_TRIPS_CHECKED)
			meter_begin(&end->meter);
		write_all(fd, data, sizeof data);
	}
	meter_end(&end->meter);
	end->counted = end->total - ROUND_TRIPS_CHECKED;
	close(fd);
}

/* --- the ends ------------------------------------------------------------------------- */

static void *end_run(void *arg)
{
	struct end *end = arg;
	bool flow = end->row->kind == ROW_FLOW, client = end->listener < 0;
	end->meter.row = end->row;
	end->meter.end = end->single ? "" : client ? "-client" : "-server";
	end->meter.quiet = end->single && client == flow;
	if (end->single)
		bench_pin(client ? 1 : 0);
	if (client)
		(flow ? flow_client : pingpong_client)(end);
	else
		(flow ? flow_server : pingpong_server)(end);
	meter_report(&end->meter, end->counted, end->total);
	return NULL;
}

/* Each in a thread of its own: bench_pin goes by what the first thread may use. */
static void both_run(struct end *server)
{
	pthread_t threads[2];
	struct end client = *server;
	client.listener = -1;
	if (pthread_create(&threads[0], NULL, end_run, server) ||
		pthread_create(&threads[1], NULL, end_run, &client))
		bench_die("pthread_create");
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
}

int main(int argc, char **argv)
{
	struct end end = { .listener = -1 };
	if (argc < 3 || !(end.row = mux_row_find(argv[2])) || end.row->kind == ROW_OPEN ||
		end.row->kind == ROW_IDLE)
		return 2;
	pattern_fill();
	end.single = !strcmp(argv[1], "single");
	if (!strcmp(argv[1], "client") && argc == 4) {
		end.port = (uint16_t)strtoul(argv[3], NULL, 10);
		end_run(&end);
		return 0;
	}
	end.listener = tcp_listen(&end.port);
	if (end.single) {
		both_run(&end);
	} else {
		printf("port %d\n", end.port);
		fflush(stdout);
		end_run(&end);
	}
	return 0;
}
