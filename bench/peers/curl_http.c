/* SPDX-License-Identifier: MIT */
/* libcurl's multi interface beside http_client.c, driven by epoll through its socket
 * callbacks, which is its quickest way; handles and connections are used again. */
#include "../http_rows.h"

#include <curl/curl.h>
#include <sys/epoll.h>

enum { EVENTS_MAX = 64 };

struct transfer {
	CURL *easy;
	size_t filled;
	char body[HTTP_BODY_SIZE];
	bool compared;
};

static struct http_run run;
static struct transfer transfers[HTTP_AT_ONCE_MAX];
static CURLM *multi;
static int poller;
static int64_t timer_ns = -1; /* when libcurl wants to be called; -1: not */

static size_t on_body(char *data, size_t one, size_t size, void *user)
{
	struct transfer *t = user;
	(void)one;
	if (size > sizeof t->body - t->filled)
		return 0;
	memcpy(t->body + t->filled, data, size);
	t->filled += size;
	return size;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
	struct epoll_event event = { .data.fd = fd };
	(void)easy, (void)user;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(poller, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
	if (epoll_ctl(poller, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event))
		bench_die("epoll_ctl");
	curl_multi_assign(multi, fd, transfers);
	return 0;
}

static int on_timer(CURLM *same, long after_ms, void *user)
{
	(void)same, (void)user;
	timer_ns = after_ms < 0 ? -1 : bench_now_ns() + after_ms * 1000000;
	return 0;
}

static void begin(struct transfer *t)
{
	t->filled = 0;
	if (curl_multi_add_handle(multi, t->easy))
		bench_die("curl_multi_add_handle");
}

static void finish(const CURLMsg *message)
{
	struct transfer *t;
	if (message->data.result || curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t) ||
		t->filled != HTTP_BODY_SIZE)
		bench_die(curl_easy_strerror(message->data.result));
	if (!t->compared)
		http_body_check(t->body, t->filled);
	t->compared = true;
	run.done++;
	curl_multi_remove_handle(multi, t->easy);
	begin(t);
}

static void act(curl_socket_t fd, int what)
{
	const CURLMsg *message;
	int running, left;
	if (curl_multi_socket_action(multi, fd, what, &running))
		bench_die("curl_multi_socket_action");
	while ((message = curl_multi_info_read(multi, &left)))
		finish(message);
}

static void load(bool measured)
{
	struct epoll_event events[EVENTS_MAX];
	http_run_begin(&run, measured);
	for (int64_t now = run.began_ns; now < run.until_ns; now = bench_now_ns()) {
		int64_t wait_ns = timer_ns < 0 ? 5000000000 : timer_ns - now;
		int n = epoll_wait(poller, events, EVENTS_MAX,
			wait_ns <= 0 ? 0 : (int)(wait_ns / 1000000) + 1);
		for (int e = 0; e < n; e++)
			act(events[e].data.fd,
				(events[e].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
					(events[e].events & EPOLLOUT ? CURL_CSELECT_OUT : 0));
		if (timer_ns >= 0 && bench_now_ns() >= timer_ns) {
			timer_ns = -1;
			act(CURL_SOCKET_TIMEOUT, 0);
		}
	}
}

static void transfer_init(struct transfer *t, const char *url)
{
	t->easy = curl_easy_init();
	if (!t->easy || curl_easy_setopt(t->easy, CURLOPT_URL, url) ||
		curl_easy_setopt(t->easy, CURLOPT_WRITEFUNCTION, on_body) ||
		curl_easy_setopt(t->easy, CURLOPT_WRITEDATA, t) ||
		curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t) ||
		curl_easy_setopt(t->easy, CURLOPT_NOSIGNAL, 1L) ||
		curl_easy_setopt(t->easy, CURLOPT_PROXY, ""))
		bench_die("curl_easy_setopt");
}

int main(int argc, char **argv)
{
	char url[64];
	if (!http_run_parse(&run, argc, argv))
		return 2;
	poller = epoll_create1(0);
	multi = curl_global_init(CURL_GLOBAL_ALL) ? NULL : curl_multi_init();
	if (!multi || curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) ||
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) ||
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)HTTP_AT_ONCE_MAX))
		bench_die("curl_multi_init");
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", run.port);
	for (size_t i = 0; i < run.at_once; i++) {
		transfer_init(&transfers[i], url);
		begin(&transfers[i]);
	}
	load(false);
	load(true);
	http_run_report(&run);
	return 0;
}
