/* SPDX-License-Identifier: MIT */
/*
 * Loads what speaks the Model Context Protocol, and checks each answer.
 *
 *	mcp_load KIND PORT CLIENTS [PATH]	a bridge that listens
 *	mcp_load pipe CLIENTS COMMAND...	a server of its own for each client, by pipes
 *	mcp_load first KIND PORT PATH COMMAND...	starts a bridge: ms until its first answer
 *	mcp_load first pipe COMMAND...		the same of a server
 *
 * KIND: stateful, Streamable HTTP with a session a client (2025-11-25); stateless, without
 * (2026-07-28); sse, HTTP+SSE (2024-11-05), a stream a client. A client has one call of the tool
 * "echo" under way, always on the same connection. After a warm-up it prints, of two seconds: calls
 * a second, p50 and p99 of the time from the request's write until its whole response is here (sse:
 * until both the answer and the response to the POST are); all calls since the start; the errors
 * among them; and what came to a client that was another's ("foreign").
 */
#include "../mcp_http.h"
#include "../mcp_json.h"
#include "../tcp.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>

enum {
	CLIENTS_MAX = 1024,
	REQUEST_MAX = 4096,
	SAMPLES_MAX = 4 << 20,
	DIGITS = 10, /* of an id: all have as many, so that a request is written anew in place */
	TEXT_SIZE = 100,
	WAIT_MS = 10000,
};

#define MODERN "2026-07-28"
#define META "io.modelcontextprotocol/"

enum kind { STATEFUL, STATELESS, SSE, PIPE };
static const char *const kind_names[] = { "stateful", "stateless", "sse", "pipe" };
static const char *const versions[] = { "2025-11-25", MODERN, "2024-11-05", "2025-11-25" };

enum step { OPENING, GREETING, GREETED, CALLING, ENDING, IDLE };

struct client;

struct end {
	struct client *client;
	int fd;
	struct mcp_in in;
};

struct client {
	enum step step;
	struct end post, stream; /* stream: of sse only */
	int to;			 /* where requests are written */
	char path[512];		 /* of POSTs */
	char request[REQUEST_MAX];
	size_t request_len, id_at, text_at; /* of a call: where its numbers stand */
	uint64_t id;
	int64_t sent_ns;
	bool answered;
};

static struct client *clients;
static size_t clients_count, calling;
static enum kind kind;
static uint16_t port;
static const char *path = "/mcp";
static int poller;
static bool stopping;
static uint64_t last_id = 1000000000, calls, errors, foreign;
static uint32_t *samples;
static size_t samples_count;

/* --- requests ------------------------------------------------------------------------------- */

static void write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);
		if (n <= 0)
			bench_die("write");
		data += n;
		len -= (size_t)n;
	}
}

static size_t fits(int len)
{
	if (len < 0 || len >= REQUEST_MAX)
		bench_die("a request that is too long");
	return (size_t)len;
}

/* Puts the head of a POST before a body, or ends a line with it. */
static void prepare(struct client *c, const char *body, const char *more)
{
	const char *session = c->post.in.session;
	size_t len = strlen(body);
	if (kind == PIPE) {
		c->request_len = fits(snprintf(c->request, REQUEST_MAX, "%s\n", body));
		return;
	}
	c->request_len = fits(snprintf(c->request, REQUEST_MAX,
		"POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
		"Accept: application/json, text/event-stream\r\n%s%s%s%s%s%s%sContent-Length: "
		"%zu\r\n\r\n%s",
		c->path, port, c->step == GREETING ? "" : "MCP-Protocol-Version: ",
		c->step == GREETING ? "" : versions[kind], c->step == GREETING ? "" : "\r\n",
		*session ? "Mcp-Session-Id: " : "", session, *session ? "\r\n" : "", more, len,
		body));
}

static void send_prepared(struct client *c)
{
	mcp_in_next(&c->post.in);
	if (kind == PIPE)
		c->post.in.phase = MCP_LINES;
	c->sent_ns = bench_now_ns();
	write_all(c->to, c->request, c->request_len);
}

static void put_id(char *at, uint64_t id)
{
	for (size_t i = DIGITS; i-- > 0; id /= 10)
		at[i] = (char)('0' + id % 10);
}

static void greet(struct client *c)
{
	char body[512];
	c->step = GREETING;
	c->id = ++last_id;
	fits(snprintf(body, sizeof body,
		"{\"jsonrpc\":\"2.0\",\"id\":%llu,\"method\":\"initialize\",\"params\":{"
		"\"protocolVersion\":\"%s\",\"capabilities\":{},\"clientInfo\":{\"name\":"
		"\"mcp_load\",\"version\":\"1.0\"}}}",
		(unsigned long long)c->id, versions[kind]));
	c->answered = false;
	prepare(c, body, "");
	send_prepared(c);
}

static void call(struct client *c)
{
	c->id = ++last_id;
	c->answered = false;
	put_id(c->request + c->id_at, c->id);
	put_id(c->request + c->text_at, c->id);
	send_prepared(c);
}

static void first_call(struct client *c)
{
	char body[1024], text[TEXT_SIZE + 1];
	memset(text, '.', TEXT_SIZE);
	text[TEXT_SIZE] = 0;
	memset(text, '0', DIGITS);
	fits(snprintf(body, sizeof body,
		"{\"jsonrpc\":\"2.0\",\"id\":0000000000,\"method\":\"tools/call\",\"params\":{"
		"\"name\":\"echo\",\"arguments\":{\"text\":\"%s\"}%s}}",
		text,
		kind == STATELESS ? ",\"_meta\":{\"" META "protocolVersion\":\"" MODERN "\",\"" META
				    "clientCapabilities\":{},\"" META
				    "clientInfo\":{\"name\":\"mcp_load\",\"version\":\"1.0\"}}"
				  : ""));
	c->step = CALLING;
	prepare(c, body, kind == STATELESS ? "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n" : "");
	char *id = strstr(c->request, "\"id\":0"), *at = strstr(c->request, "\"text\":\"");
	c->id_at = (size_t)(id + 5 - c->request);
	c->text_at = (size_t)(at + 8 - c->request);
	calling++;
	call(c);
}

static void say_greeted(struct client *c)
{
	c->step = GREETED;
	prepare(c, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}", "");
	send_prepared(c);
	if (kind == PIPE)
		first_call(c);
}

static void say_end(struct client *c)
{
	c->step = ENDING;
	c->request_len = fits(snprintf(c->request, REQUEST_MAX,
		"DELETE %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nMCP-Protocol-Version: %s\r\n"
		"Mcp-Session-Id: %s\r\n\r\n",
		c->path, port, versions[kind], c->post.in.session));
	send_prepared(c);
}

/* --- answers -------------------------------------------------------------------------------- */

static void done_call(struct client *c)
{
	int64_t took = bench_now_ns() - c->sent_ns;
	calls++;
	if (samples_count < SAMPLES_MAX)
		samples[samples_count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
	if (!stopping) {
		call(c);
		return;
	}
	c->step = IDLE;
	calling--;
}

/* The text that a call's result has, as it stands in JSON, is the call's own? */
static bool is_echo(struct client *c, struct json_span message)
{
	struct json_span content = json_member(json_member(message, "result"), "content");
	struct json_span text = json_member(json_first(content), "text");
	return text.len == TEXT_SIZE + 2 && text.at[0] == '"' &&
		!memcmp(text.at + 1, c->request + c->text_at, TEXT_SIZE);
}

/* A message came to the client. */
static void take_message(struct client *c, const char *at, size_t len)
{
	struct json_span message = { json_blank_end(at, at + len), 0 }, id;
	char digits[DIGITS];
	message.len = (size_t)(at + len - message.at);
	id = json_member(message, "id");
	put_id(digits, c->id);
	if (id.len != DIGITS || memcmp(id.at, digits, DIGITS) || c->answered) {
		foreign++;
		return;
	}
	c->answered = true;
	if (c->step == CALLING ? is_echo(c, message) : json_member(message, "result").len > 0)
		return;
	if (!errors++)
		fprintf(stderr, "bench: instead of an answer: %.*s\n", (int)len, at);
	if (c->step != CALLING)
		bench_die("initialize");
}

static void take_endpoint(struct client *c, const char *uri, size_t len)
{
	const char *authority = memmem(uri, len, "://", 3);
	if (authority) {
		const char *root = memchr(authority + 3, '/', (size_t)(uri + len - authority - 3));
		len = root ? (size_t)(uri + len - root) : 0;
		uri = root;
	}
	if (!len || len >= sizeof c->path)
		bench_die("an endpoint that is none");
	memcpy(c->path, uri, len);
	c->path[len] = 0;
	greet(c);
}

/* An event without its last line's end; its data are on one line. */
static void take_event(struct client *c, const char *at, const char *end)
{
	const char *data = NULL, *data_end = NULL;
	bool endpoint = false;
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at)), *line = at;
		stop = stop ? stop : end;
		at = stop + 1;
		if (stop > line && stop[-1] == '\r')
			stop--;
		if (stop - line >= 5 && !memcmp(line, "data:", 5)) {
			data = line + 5 + (stop > line + 5 && line[5] == ' ');
			data_end = stop;
		} else if (stop - line >= 15 && !memcmp(line, "event: endpoint", 15)) {
			endpoint = true;
		}
	}
	if (endpoint && data)
		take_endpoint(c, data, (size_t)(data_end - data));
	else if (data && data < data_end)
		take_message(c, data, (size_t)(data_end - data));
}

/* The end of what is delimited by an empty line, behind it; NULL: it has not come. */
static char *event_end(char *at, char *end)
{
	for (char *p = at; (p = memchr(p, '\n', (size_t)(end - p))); p++) {
		if (p + 1 < end && p[1] == '\n')
			return p + 2;
		if (p + 2 < end && p[1] == '\r' && p[2] == '\n')
			return p + 3;
	}
	return NULL;
}

/* Takes what is whole out of the body. */
static void take_body(struct client *c, struct mcp_in *in)
{
	char *at = in->body, *end = in->body + in->body_len, *stop;
	if (in->phase == MCP_LINES) {
		for (; (stop = memchr(at, '\n', (size_t)(end - at))); at = stop + 1)
			take_message(c, at, (size_t)(stop - at));
	} else if (in->events) {
		for (; (stop = event_end(at, end)); at = stop)
			take_event(c, at, stop - 1);
	} else if (in->phase == MCP_DONE) {
		if (in->body_len && *at == '{')
			take_message(c, at, in->body_len);
		at = end;
	}
	in->body_len = (size_t)(end - at);
	memmove(in->body, at, in->body_len);
}

/* --- clients -------------------------------------------------------------------------------- */

static void watch(struct end *end, struct client *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = end };
	end->client = c;
	if (epoll_ctl(poller, EPOLL_CTL_ADD, end->fd, &event))
		bench_die("epoll_ctl");
}

static void open_post(struct client *c)
{
	c->to = c->post.fd = tcp_dial_by(tcp_socket_as_it_is(), port);
	watch(&c->post, c);
}

static pid_t spawn(char **command, const int fds[2])
{
	pid_t pid = fork();
	if (pid < 0)
		bench_die("fork");
	if (pid)
		return pid;
	const int null = open("/dev/null", O_RDWR);
	dup2(fds ? fds[0] : null, STDIN_FILENO);
	dup2(fds ? fds[1] : null, STDOUT_FILENO);
	if (!fds)
		dup2(null, STDERR_FILENO);
	execvp(command[0], command);
	_exit(127);
}

/* A server of the client's own; ended by the end of its standard input. */
static pid_t open_pipes(struct client *c, char **command)
{
	int to[2], from[2];
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		bench_die("pipe");
	pid_t pid = spawn(command, (const int[]){ to[0], from[1] });
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->post.fd = from[0];
	watch(&c->post, c);
	return pid;
}

static void begin(struct client *c)
{
	fits(snprintf(c->path, sizeof c->path, "%s", path));
	if (kind == STATELESS) {
		first_call(c);
	} else if (kind == SSE) {
		c->stream.fd = tcp_dial_by(tcp_socket_as_it_is(), port);
		watch(&c->stream, c);
		c->request_len = fits(snprintf(c->request, REQUEST_MAX,
			"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAccept: text/event-stream\r\n"
			"\r\n",
			path, port));
		write_all(c->stream.fd, c->request, c->request_len);
	} else {
		greet(c);
	}
}

/* Both the answer, where there is to be one, and the whole response have come. */
static void advance(struct client *c)
{
	switch (c->step) {
	case GREETING:
		say_greeted(c);
		break;
	case GREETED:
		first_call(c);
		break;
	case CALLING:
		done_call(c);
		break;
	case ENDING:
		c->step = IDLE;
		calling--;
		break;
	case OPENING:
	case IDLE:
		break;
	}
}

static void refused(struct client *c, struct mcp_in *in)
{
	if (!errors++)
		fprintf(stderr, "bench: status %d: %.*s\n", in->status, (int)in->body_len,
			in->body);
	if (c->step != CALLING)
		bench_die("not accepted");
	c->answered = true;
	in->body_len = 0;
}

static void serve(struct end *end)
{
	struct client *c = end->client;
	if (!mcp_in_read(&end->in, end->fd)) {
		errno = 0;
		bench_die("a connection was closed");
	}
	/* Whether the response is whole is asked before messages are taken: greet() begins anew. */
	if (end == &c->post && end->in.phase == MCP_DONE && end->in.status >= 300)
		refused(c, &end->in);
	take_body(c, &end->in);
	const bool whole = kind == PIPE || c->post.in.phase == MCP_DONE;
	if (!whole || ((c->step == GREETING || c->step == CALLING) && !c->answered))
		return;
	if (c->post.in.closes) {
		close(c->post.fd);
		open_post(c);
	}
	advance(c);
}

static void run_until(int64_t end_ns, size_t wanted)
{
	struct epoll_event events[256];
	while (bench_now_ns() < end_ns && calling != wanted) {
		int n = epoll_wait(poller, events, 256, WAIT_MS);
		if (n <= 0) {
			errno = 0;
			bench_die("no answer for ten seconds");
		}
		for (int e = 0; e < n; e++)
			serve(events[e].data.ptr);
	}
}

static void end_sessions(void)
{
	stopping = true;
	run_until(INT64_MAX, 0);
	for (size_t i = 0; i < clients_count; i++) {
		if (kind == STATEFUL && *clients[i].post.in.session) {
			say_end(&clients[i]);
			calling++;
		}
	}
	run_until(INT64_MAX, 0);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static void report(int64_t took_ns)
{
	qsort(samples, samples_count, sizeof *samples, compare);
	if (!samples_count)
		bench_die("no call was answered");
	bench_report("rate", (double)samples_count * 1e9 / (double)took_ns, "requests/s");
	bench_report("p50", samples[samples_count / 2] / 1e3, "us");
	bench_report("p99", samples[samples_count * 99 / 100] / 1e3, "us");
}

static void load(void)
{
	const int64_t warm_ns = (int64_t)bench_count(2000000000);
	int64_t begin_ns;
	run_until(INT64_MAX, clients_count);
	run_until(bench_now_ns() + warm_ns, 0);
	samples_count = 0;
	begin_ns = bench_now_ns();
	run_until(begin_ns + (int64_t)bench_count(2000000000), 0);
	report(bench_now_ns() - begin_ns);
	end_sessions();
	bench_report("calls", (double)calls, "calls");
	bench_report("errors", (double)errors, "calls");
	bench_report("foreign", (double)foreign, "messages");
}

/* --- the first answer ----------------------------------------------------------------------- */

static void wait_for_listener(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	const struct timespec pause = { .tv_nsec = 200000 };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int64_t end = bench_now_ns() + WAIT_MS * 1000000LL; bench_now_ns() < end;) {
		struct client *c = clients;
		c->to = c->post.fd = tcp_socket_as_it_is();
		if (!connect(c->post.fd, (struct sockaddr *)&to, sizeof to)) {
			watch(&c->post, c);
			return;
		}
		close(c->post.fd);
		nanosleep(&pause, NULL);
	}
	bench_die("nobody listens");
}

static void first(char **command)
{
	const int64_t begin_ns = bench_now_ns();
	struct client *c = clients;
	pid_t pid;
	if (kind == PIPE) {
		pid = open_pipes(c, command);
	} else {
		pid = spawn(command, NULL);
		wait_for_listener();
	}
	begin(c);
	while (!c->answered && calling == 0) {
		struct epoll_event event;
		if (epoll_wait(poller, &event, 1, WAIT_MS) <= 0)
			bench_die("no first answer");
		mcp_in_read(&c->post.in, c->post.fd);
		take_body(c, &c->post.in);
	}
	bench_report("first", (double)(bench_now_ns() - begin_ns) / 1e6, "ms");
	kill(pid, SIGTERM);
	for (int i = 0; i < 100 && !waitpid(pid, NULL, WNOHANG); i++)
		usleep(50000);
	kill(pid, SIGKILL);
}

static void usage(void)
{
	fprintf(stderr,
		"usage: mcp_load stateful|stateless|sse PORT CLIENTS [PATH]\n"
		"       mcp_load pipe CLIENTS COMMAND...\n"
		"       mcp_load first stateful PORT PATH COMMAND...\n"
		"       mcp_load first pipe COMMAND...\n");
	exit(2);
}

static enum kind parse_kind(const char *name)
{
	for (enum kind k = STATEFUL; k <= PIPE; k++) {
		if (!strcmp(kind_names[k], name))
			return k;
	}
	usage();
	return PIPE;
}

static void make_clients(size_t count)
{
	clients_count = count;
	clients = count && count <= CLIENTS_MAX ? calloc(count, sizeof *clients) : NULL;
	samples = calloc(SAMPLES_MAX, sizeof *samples);
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (!clients || !samples || poller < 0)
		bench_die("clients");
	for (size_t i = 0; i < count; i++)
		clients[i].post.in.phase = kind == PIPE ? MCP_LINES : MCP_HEAD;
}

int main(int argc, char **argv)
{
	const bool once = argc > 1 && !strcmp(argv[1], "first");
	argc -= once;
	argv += once;
	if (argc < 3)
		usage();
	kind = parse_kind(argv[1]);
	signal(SIGPIPE, SIG_IGN);
	if (kind == PIPE) {
		make_clients(once ? 1 : strtoul(argv[2], NULL, 10));
	} else {
		if (argc < 4)
			usage();
		port = (uint16_t)strtoul(argv[2], NULL, 10);
		make_clients(once ? 1 : strtoul(argv[3], NULL, 10));
		path = once ? argv[3] : argc > 4 ? argv[4] : path;
	}
	if (once) {
		first(argv + (kind == PIPE ? 2 : 4));
		return 0;
	}
	for (size_t i = 0; i < clients_count; i++) {
		if (kind == PIPE)
			open_pipes(&clients[i], argv + 3);
		else
			open_post(&clients[i]);
		begin(&clients[i]);
	}
	load();
	return 0;
}
