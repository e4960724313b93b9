/* SPDX-License-Identifier: MIT */
/* weft http URL: one exchange, from the arguments to the exit status. */
#define _POSIX_C_SOURCE 200809L
#include "http.h"

#include "commands.h"
#include "say.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BUFFER_SIZE 65536
#define STATUS_ERROR 400 /* and above */

/* ---- the body ---- */

/* Where the response came from. */
static const char *url_of(const struct http_command *c, const weft_http_response *response)
{
	const char *url = weft_http_response_url(response);

	return url ? url : c->args.url;
}

static void body_failed(struct http_command *c, const weft_http_response *response)
{
	sink_bar_end(&c->sink, false);
	say("http %s %s: the body, after %llu bytes: %s", c->args.method, url_of(c, response),
		(unsigned long long)c->sink.written, weft_error_detail());
}

/* As much as has come, at least a byte; into a file rather more at once. */
static weft_err body_read(
	const struct http_command *c, weft_http_response *response, char *buffer, size_t *got)
{
	weft_err err = weft_http_response_read(response, buffer, BUFFER_SIZE, got, c->until);
	size_t more;

	while (!err && *got < BUFFER_SIZE) {
		if (weft_http_response_read(
			    response, buffer + *got, BUFFER_SIZE - *got, &more, WEFT_NOW))
			break; /* the end or an error is told again */
		*got += more;
	}
	return err;
}

/* Errors have been said, but WEFT_ECANCELED and WEFT_ECLOSED (of our output). */
static weft_err body_copy(struct http_command *c, weft_http_response *response)
{
	char *buffer = malloc(BUFFER_SIZE);
	weft_err err = WEFT_OK;
	size_t got = 0;

	if (!buffer) {
		say("out of memory");
		return WEFT_ENOMEM;
	}
	while (!err) {
		err = body_read(c, response, buffer, &got);
		if (err == WEFT_ECLOSED) {
			free(buffer);
			return WEFT_OK;
		}
		if (!err)
			err = sink_write(&c->sink, buffer, got);
		else if (err != WEFT_ECANCELED)
			body_failed(c, response);
	}
	free(buffer);
	return err;
}

/* ---- the response ---- */

/* -H says itself what it can read, and gets it as it is. */
static bool undoes_codings(const struct http_command *c)
{
	return c->args.is_compressed && !weft_http_fields_get(c->fields, "Accept-Encoding") &&
		!weft_http_fields_get(c->secrets, "Accept-Encoding");
}

static bool has_body(const struct http_command *c, const weft_http_response *response)
{
	unsigned status = weft_http_response_status(response);

	return strcmp(c->args.method, "HEAD") != 0 && status != 204 && status != 304 &&
		weft_http_response_length(response) != 0;
}

/* A body whose coding was not undone is no use to anybody. */
static bool coding_check(const struct http_command *c, const weft_http_response *response)
{
	const char *coding =
		weft_http_fields_get(weft_http_response_fields(response), "Content-Encoding");

	if (!undoes_codings(c) || !has_body(c, response) || !coding || !*coding ||
		strcasecmp(coding, "identity") == 0)
		return true;
	say("http %s %s: content coding %s, which was not asked for", c->args.method,
		url_of(c, response), coding);
	return false;
}

static weft_err respond(struct http_command *c, weft_http_response *response)
{
	unsigned status = weft_http_response_status(response);
	bool has_failed = c->args.fails && status >= STATUS_ERROR;
	weft_err err = WEFT_OK;

	if (c->args.is_verbose)
		http_show_response(response);
	if (has_failed)
		say("http %s %s: status %u (%s)", c->args.method, url_of(c, response), status,
			weft_http_status_text(status));
	if (has_failed && !c->args.shows_head && !c->args.is_head)
		return WEFT_EIO;
	if (!coding_check(c, response))
		return WEFT_EPROTO;
	err = sink_open(&c->sink, c->args.output, weft_http_response_length(response), c->until);
	if (!err && (c->args.shows_head || c->args.is_head))
		err = http_head_write(c, response);
	if (!err && has_failed)
		return WEFT_EIO;
	if (!err)
		err = body_copy(c, response);
	if (!err)
		sink_bar_end(&c->sink, true);
	if (!err && c->args.is_verbose)
		http_show_end(response);
	return err;
}

static void exchange(struct http_command *c)
{
	weft_http_response *response = NULL;
	weft_err err;

	err = weft_http_client_send(c->client, &c->request, &response, c->until);
	if (err && c->body.is_cut)
		http_body_say_cut(&c->body);
	else if (err && err != WEFT_ECANCELED)
		say("%s", weft_error_detail());
	if (err == WEFT_EINVAL && !c->body.is_cut)
		c->status = EXIT_USAGE;
	else if (err)
		c->status = EXIT_WORLD;
	if (!err) {
		err = respond(c, response);
		/* nobody wants more of it: that is no failure */
		c->status = err && err != WEFT_ECLOSED ? EXIT_WORLD : EXIT_DONE;
	}
	sink_close(&c->sink, !err);
	weft_http_response_free(response);
}

/* ---- before it ---- */

/* The flag in place of the option that it is. */
static int tls_failed(weft_err err)
{
	static const struct {
		const char *option, *flag;
	} names[] = { { "weft_tls_client_options.ca_file", "--cacert" },
		{ "weft_tls_client_options.cert_file", "--cert" },
		{ "weft_tls_client_options.key_file", "--key" } };
	const char *detail = weft_error_detail();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i].option);

		if (strncmp(detail, names[i].option, len) == 0) {
			say("%s%s", names[i].flag, detail + len);
			return EXIT_WORLD;
		}
	}
	say("%s", detail);
	return err == WEFT_EINVAL ? EXIT_USAGE : EXIT_WORLD;
}

static weft_err tls_make(struct http_command *c)
{
	static const char *const protocols[] = { "http/1.1", NULL };
	weft_tls_client_options options = WEFT_TLS_CLIENT_OPTIONS_DEFAULT;
	const struct http_args *a = &c->args;

	/* the client's own would do: it is made only when it is needed */
	if (!a->cacert && !a->cert && !a->is_insecure && !getenv("SSLKEYLOGFILE"))
		return WEFT_OK;
	options.alpn = protocols;
	options.ca_file = a->cacert;
	options.cert.cert_file = a->cert;
	options.cert.key_file = a->key;
	options.insecure = a->is_insecure;
	options.key_log_env = true;
	return weft_tls_client_create(&c->tls, &options);
}

static weft_err client_make(struct http_command *c)
{
	weft_http_client_options options = WEFT_HTTP_CLIENT_OPTIONS_DEFAULT;

	options.tls = c->tls;
	options.connect_timeout_ns = c->args.connect_timeout_ns;
	options.stall_timeout_ns = -1; /* who waits may see that nothing comes */
	options.body_size_max = c->args.max_size;
	options.proxy_env = !c->args.has_no_proxy;
	return weft_http_client_create(&c->client, &options);
}

static void request_make(struct http_command *c)
{
	const weft_http_request none = WEFT_HTTP_REQUEST_DEFAULT;
	weft_http_request *r = &c->request;

	*r = none;
	r->method = c->args.method;
	r->url = c->args.url;
	r->fields = c->fields;
	r->origin_fields = c->secrets;
	r->redirects_max = (unsigned)c->args.redirects_max;
	r->decode = c->args.is_compressed;
	r->proxy = c->args.has_no_proxy ? "" : c->args.proxy;
	r->unix_path = c->args.unix_path;
	r->user = c;
	if (c->args.is_verbose) {
		r->on_head = http_show_request;
		r->on_interim = http_show_interim;
		r->on_redirect = http_show_redirect;
	}
	http_body_set(c);
}

static weft_err work(void *arg)
{
	struct http_command *c = arg;
	weft_err err;

	c->status = http_body_adopt(&c->body);
	if (c->status)
		return WEFT_OK;
	err = client_make(c);
	if (err) {
		say("%s", weft_error_detail());
		c->status = EXIT_WORLD;
		return WEFT_OK;
	}
	request_make(c);
	c->until = c->args.max_time_ns == INT64_MAX ? WEFT_FOREVER
						    : weft_after_ns(c->args.max_time_ns);
	if (c->args.is_sse)
		http_events(c);
	else
		exchange(c);
	return WEFT_OK;
}

/* Reads what arguments name. Outside of the runtime: a FIFO may keep it waiting for as long as
 * its other end likes, and a signal ends that as it ends any program. */
static int prepare(struct http_command *c)
{
	int status = http_fields_read(c);
	weft_err err;

	if (!status)
		status = http_body_open(c);
	if (status)
		return status;
	err = tls_make(c);
	return err ? tls_failed(err) : 0;
}

static void fini(struct http_command *c)
{
	weft_tls_unref(c->tls);
	http_body_close(&c->body);
	weft_http_fields_free(c->secrets);
	weft_http_fields_free(c->fields);
}

/* ---- signals ---- */

/* The first signal ends the exchange in order, the second the process at once. */
static weft_err signal_fiber(void *arg)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	struct http_command *c = arg;
	weft_signals *signals = NULL;
	weft_err err;
	int number;

	err = weft_signals_create(&signals, numbers, sizeof(numbers) / sizeof(numbers[0]));
	if (!err)
		err = weft_signals_wait(signals, &c->signal, WEFT_FOREVER);
	if (!err) {
		weft_cancel_trigger(c->token, WEFT_ECANCELED);
		err = weft_signals_wait(signals, &number, WEFT_FOREVER);
	}
	if (!err)
		_exit(128 + number);
	weft_signals_free(signals);
	return err == WEFT_ECANCELED ? WEFT_OK : err;
}

/* A file that is not whole looks like one that is. */
static void say_interrupted(const struct http_command *c)
{
	if (c->sink.path && c->sink.was_opened && !c->args.is_sse)
		say("interrupted; %s has %llu bytes of the body", c->sink.path,
			(unsigned long long)c->sink.written);
}

static weft_err main_fiber(void *arg)
{
	struct http_command *c = arg;
	weft_scope *scope = NULL;
	weft_err err;

	err = weft_cancel_create(&c->token, NULL);
	if (!err)
		err = weft_scope_create(&scope);
	if (!err)
		err = weft_scope_spawn(scope, "signals", signal_fiber, c);
	if (!err)
		err = weft_cancel_run(c->token, work, c, WEFT_FOREVER);
	weft_scope_free(scope);
	if (c->signal) {
		say_interrupted(c);
		c->status = 128 + c->signal;
	} else if (err) {
		say("%s", weft_error_detail());
		c->status = EXIT_WORLD;
	}
	sink_close(&c->sink, false);
	weft_http_client_unref(c->client);
	weft_conn_free(c->body.conn);
	c->body.conn = NULL;
	weft_cancel_unref(c->token);
	return WEFT_OK;
}

int command_http(const char *const *argv)
{
	static struct http_command c = { .body = { .fd = -1 } };
	weft_run_options run = WEFT_RUN_OPTIONS_DEFAULT;
	bool wants_help = false;
	weft_err err;
	int status;

	status = http_arguments(&c.args, argv, &wants_help);
	if (!status && wants_help) {
		command_http_help();
		return say_flush();
	}
	if (status)
		return status;
	say_log_start(false, WEFT_LOG_WARN);
	run.workers = 1;
	run.dump_on_sigquit = true;
	c.status = prepare(&c);
	err = c.status ? WEFT_OK : weft_run(main_fiber, &c, &run);
	if (err) {
		say("%s", weft_error_detail());
		c.status = EXIT_WORLD;
	}
	fini(&c);
	return c.status;
}
