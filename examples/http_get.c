/* SPDX-License-Identifier: MIT */
/*
 * What a request is made of: where the time went, which connection it took, a body that is made
 * while it is sent.
 *
 *	http_get              asks a server of its own, and ends
 *	http_get URL          gets it twice
 */
#include <weft/weft.h>

#include <stdio.h>
#include <string.h>

#define LINES 3

/* Reads the rest away; how much it was. */
static weft_err read_rest(weft_http_response *response, unsigned long long *bytes)
{
	char data[4096];
	size_t got;
	weft_err err;

	*bytes = 0;
	while (!(err = weft_http_response_read(
			 response, data, sizeof(data), &got, weft_after_ms(10000))))
		*bytes += got;
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static weft_err get(weft_http_client *client, const char *url, bool verbose)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *response = NULL;
	weft_http_timings t;
	unsigned long long bytes;
	weft_err err;

	request.url = url;
	err = weft_http_client_send(client, &request, &response, weft_after_ms(10000));
	if (!err)
		err = read_rest(response, &bytes);
	if (!err) {
		weft_http_response_timings(response, &t);
		printf("GET: %u, %llu bytes, %s connection\n", weft_http_response_status(response),
			bytes, t.reused ? "a kept" : "a new");
		if (verbose)
			printf("     name %lld us, connect %lld us, TLS %lld us, first byte %lld us\n",
				(long long)t.resolve_ns / 1000, (long long)t.connect_ns / 1000,
				(long long)t.tls_ns / 1000, (long long)t.first_byte_ns / 1000);
	}
	weft_http_response_free(response); /* NULL is allowed */
	return err;
}

/* ---- a body that is made line by line ---- */

struct report {
	int line;
};

static weft_err next_line(void *user, void *data, size_t size, size_t *got, weft_deadline until)
{
	struct report *report = user;

	(void)until; /* for those who wait for something */
	if (report->line == LINES)
		return WEFT_ECLOSED;
	*got = (size_t)snprintf(data, size, "line %d\n", ++report->line);
	return WEFT_OK;
}

/* From the beginning, if the request has to be sent once more. */
static weft_err first_line(void *user)
{
	struct report *report = user;

	report->line = 0;
	return WEFT_OK;
}

static weft_err put(weft_http_client *client, const char *url)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *response = NULL;
	struct report report = { 0 };
	weft_buf text = WEFT_BUF_EMPTY;
	weft_err err;

	request.method = "PUT";
	request.url = url;
	request.body_read = next_line; /* without body_length: in chunks */
	request.body_rewind = first_line;
	request.body_user = &report; /* there until the response is freed */
	err = weft_http_client_send(client, &request, &response, weft_after_ms(10000));
	if (!err)
		err = weft_http_response_read_all(response, &text, 1000, weft_after_ms(10000));
	if (!err)
		printf("PUT: %u, %.*s\n", weft_http_response_status(response), (int)text.len,
			(const char *)text.data);
	weft_buf_unref(&text);
	weft_http_response_free(response);
	return err;
}

/* ---- a server to ask ---- */

static weft_err page(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return weft_http_exchange_reply_text(x, 200, "a page\n", WEFT_FOREVER);
}

static weft_err counts(weft_http_exchange *x, void *arg)
{
	char data[256], reply[64];
	size_t got, bytes = 0;
	weft_err err;

	(void)arg;
	while (!(err = weft_http_exchange_read(x, data, sizeof(data), &got, WEFT_FOREVER)))
		bytes += got;
	if (err != WEFT_ECLOSED)
		return err;
	(void)snprintf(reply, sizeof(reply), "%zu bytes came", bytes);
	return weft_http_exchange_reply_text(x, 200, reply, WEFT_FOREVER);
}

static weft_err serve(weft_http_server *server, weft_listener *listener)
{
	weft_err err = weft_http_server_route(server, "GET", "/", page, NULL);

	if (!err)
		err = weft_http_server_route(server, "PUT", "/", counts, NULL);
	return err ? err : weft_http_server_start(server, listener);
}

static weft_err ask_ourselves(weft_http_client *client)
{
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	char url[128];
	weft_err err;

	err = weft_listen(&listener, "tcp://127.0.0.1:0", NULL, weft_after_ms(5000));
	if (!err)
		err = weft_http_server_create(&server, NULL);
	if (!err)
		err = serve(server, listener);
	if (!err) {
		(void)snprintf(url, sizeof(url), "http://%s/", weft_listener_name(listener) + 6);
		err = get(client, url, false);
	}
	if (!err)
		err = get(client, url, false);
	if (!err)
		err = put(client, url);
	if (server) {
		weft_http_server_stop(server);
		if (weft_http_server_wait(server, WEFT_FOREVER) == WEFT_OK)
			weft_http_server_free(server);
	}
	weft_listener_free(listener);
	return err;
}

static weft_err start(void *arg)
{
	weft_http_client *client = NULL;
	const char *url = arg;
	weft_err err = weft_http_client_create(&client, NULL);

	if (!err && url) {
		err = get(client, url, true);
		if (!err)
			err = get(client, url, true);
	} else if (!err) {
		err = ask_ourselves(client);
	}
	if (err)
		fprintf(stderr, "http_get: %s\n", weft_error_detail());
	weft_http_client_unref(client);
	return err;
}

int main(int argc, char **argv)
{
	return weft_run(start, argc > 1 ? argv[1] : NULL, NULL) ? 1 : 0;
}
