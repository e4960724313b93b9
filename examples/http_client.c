/* SPDX-License-Identifier: MIT */
/*
 * An HTTP client: several requests at once over kept connections.
 *
 *	http_client                asks a server of its own, and ends
 *	http_client URL...         prints status and length of each
 */
#include <weft/weft.h>

#include <stdio.h>

struct asking {
	weft_http_client *client;
	const char *url;
	unsigned status;
	unsigned long long bytes;
};

/* Follows redirects, undoes gzip and deflate, reads to the end: never more than a buffer. */
static weft_err ask(void *arg)
{
	struct asking *a = arg;
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *response = NULL;
	weft_deadline until = weft_after_ms(30000); /* for all of it */
	char data[4096];
	size_t got;
	weft_err err;

	request.url = a->url;
	request.redirects_max = 10;
	request.decode = true;
	err = weft_http_client_send(a->client, &request, &response, until);
	if (err) {
		fprintf(stderr, "http_client: %s\n", weft_error_detail());
		return err;
	}
	a->status = weft_http_response_status(response);
	while (!(err = weft_http_response_read(response, data, sizeof(data), &got, until)))
		a->bytes += got;
	if (err != WEFT_ECLOSED) /* the body's end, in order */
		fprintf(stderr, "http_client: %s: %s\n", a->url, weft_error_detail());
	weft_http_response_free(response); /* the connection goes back to the client */
	return err == WEFT_ECLOSED ? WEFT_OK : err;
}

static weft_err ask_all(char **urls, int count)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;
	struct asking asking[8] = { { .client = NULL } };
	weft_http_client *client = NULL;
	weft_scope *scope = NULL;
	weft_err err;

	options.proxy_env = true;
	err = weft_http_client_create(&client, &options);
	if (!err)
		err = weft_scope_create(&scope);
	for (int i = 0; i < count && i < 8 && !err; i++) {
		asking[i].client = client;
		asking[i].url = urls[i];
		err = weft_scope_spawn(scope, "ask", ask, &asking[i]);
	}
	if (!err)
		err = weft_scope_wait(scope, WEFT_FOREVER); /* the first error ends the others */
	for (int i = 0; i < count && i < 8 && !err; i++)
		printf("%s: status %u, %llu bytes\n", urls[i], asking[i].status, asking[i].bytes);
	weft_scope_free(scope);
	weft_http_client_unref(client);
	return err;
}

/* ---- a server to ask ---- */

static weft_err page(weft_http_exchange *x, void *arg)
{
	(void)arg;
	return weft_http_exchange_reply_text(x, 200, "a page\n", WEFT_FOREVER);
}

static weft_err moved(weft_http_exchange *x, void *arg)
{
	weft_http_fields *fields = NULL;
	weft_err err;

	(void)arg;
	err = weft_http_fields_create(&fields);
	if (!err)
		err = weft_http_fields_add(fields, "Location", "/page");
	if (!err)
		err = weft_http_exchange_reply(x, 302, fields, NULL, 0, WEFT_FOREVER);
	weft_http_fields_free(fields);
	return err;
}

static weft_err ask_ourselves(void)
{
	weft_http_server *server = NULL;
	weft_listener *listener = NULL;
	char first[128], second[128], *urls[] = { first, second };
	weft_err err;

	err = weft_listen(&listener, "tcp://127.0.0.1:0", NULL, weft_after_ms(5000));
	if (!err)
		err = weft_http_server_create(&server, NULL);
	if (!err)
		err = weft_http_server_route(server, "GET", "/page", page, NULL);
	if (!err)
		err = weft_http_server_route(server, "GET", "/moved", moved, NULL);
	if (!err)
		err = weft_http_server_start(server, listener);
	if (!err) {
		const char *host = weft_listener_name(listener) + 6; /* behind "tcp://" */

		(void)snprintf(first, sizeof(first), "http://%s/page", host);
		(void)snprintf(second, sizeof(second), "http://%s/moved", host);
		err = ask_all(urls, 2);
	}
	if (server) {
		weft_http_server_stop(server);
		if (weft_http_server_wait(server, WEFT_FOREVER) == WEFT_OK)
			weft_http_server_free(server);
	}
	weft_listener_free(listener);
	return err;
}

/* ---- */

static weft_err start(void *arg)
{
	char **urls = arg;
	int count = 0;

	while (urls[count])
		count++;
	return count ? ask_all(urls, count) : ask_ourselves();
}

int main(int argc, char **argv)
{
	weft_err err = weft_run(start, argv + (argc > 0), NULL);

	return err ? 1 : 0;
}
