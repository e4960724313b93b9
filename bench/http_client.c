/* SPDX-License-Identifier: MIT */
/* weft's HTTP client on one worker, a fiber for each request that is under way; see
 * http_rows.h. */
#include "http_rows.h"

#include "must.h"

#include <weft/http_client.h>

static struct http_run run;
static weft_http_client *client;
static char url[64];
static bool over; /* looked at before each request, where the clock would cost */

static void ask(bool compare)
{
	weft_http_request request = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_response *response = NULL;
	char body[HTTP_BODY_SIZE + 1];
	size_t filled = 0, got;
	weft_err err;
	request.url = url;
	must(weft_http_client_send(client, &request, &response, WEFT_FOREVER),
		"weft_http_client_send");
	while ((err = weft_http_response_read(response, body + filled, sizeof body - filled, &got,
			WEFT_FOREVER)) == WEFT_OK)
		filled += got;
	if (err != WEFT_ECLOSED)
		must(err, "weft_http_response_read");
	if (weft_http_response_status(response) != 200 || filled != HTTP_BODY_SIZE)
		bench_die("a reply that is not the server's");
	if (compare)
		http_body_check(body, filled);
	weft_http_response_free(response);
}

static weft_err lane(void *arg)
{
	(void)arg;
	ask(true);
	while (!over) {
		ask(false);
		run.done++;
	}
	return WEFT_OK;
}

static void load(bool measured)
{
	weft_scope *scope = NULL;
	must(weft_scope_create(&scope), "weft_scope_create");
	http_run_begin(&run, measured);
	over = false;
	for (size_t i = 0; i < run.at_once; i++)
		must(weft_scope_spawn(scope, "lane", lane, NULL), "weft_scope_spawn");
	must(weft_sleep_ns(run.until_ns - run.began_ns), "weft_sleep_ns");
	over = true;
	must(weft_scope_wait(scope, WEFT_FOREVER), "weft_scope_wait");
	weft_scope_free(scope);
}

static weft_err client_main(void *arg)
{
	(void)arg;
	must(weft_http_client_create(&client, NULL), "weft_http_client_create");
	load(false);
	load(true);
	http_run_report(&run);
	weft_http_client_unref(client);
	return WEFT_OK;
}

int main(int argc, char **argv)
{
	if (!http_run_parse(&run, argc, argv))
		return 2;
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", run.port);
	must_run(client_main, NULL, 1);
	return 0;
}
