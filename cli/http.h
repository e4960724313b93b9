/* SPDX-License-Identifier: MIT */
#ifndef HTTP_H
#define HTTP_H

/* The parts of weft http URL: http_args.c (arguments), http_input.c (fields and body from files),
 * http.c (the exchange), http_events.c (--sse), http_show.c (-v, -i), sink.c (the output). */
#include "flags.h"
#include "sink.h"

#include <weft/weft.h>

struct http_args {
	const char *url;
	const char *method; /* never NULL once checked */
	struct flag_list fields, data, json;
	const char *output; /* NULL: stdout, "-": stdout whatever comes */
	const char *cacert, *cert, *key, *proxy, *unix_path;
	size_t redirects_max;			 /* 0: none are followed */
	int64_t max_time_ns, connect_timeout_ns; /* INT64_MAX: off */
	uint64_t max_size;			 /* 0: off */
	bool follows, shows_head, is_head, is_verbose, fails, is_sse;
	bool is_compressed, is_insecure, has_no_proxy;
};

/* What -d gives: its text, or a file or stdin as it is read. */
struct http_body {
	const char *text; /* NULL: none */
	size_t text_len;
	const char *name; /* of the file, for messages */
	int fd;		  /* -1: none */
	bool is_regular;
	int64_t begin;	 /* is_regular: where in the file it begins */
	uint64_t size;	 /* is_regular */
	uint64_t read;	 /* of it, so far */
	bool is_cut;	 /* the file ended before its size */
	weft_conn *conn; /* reads it */
};

struct http_command {
	struct http_args args;
	weft_http_fields *fields;  /* -H */
	weft_http_fields *secrets; /* -H @file */
	struct http_body body;
	struct sink sink;
	weft_tls *tls; /* NULL: the client's own */
	weft_http_client *client;
	weft_http_request request;
	weft_deadline until;
	weft_cancel *token; /* cancelled by a signal */
	int signal;	    /* that came; 0: none */
	int status;	    /* of the command */
};

/* ---- http_args.c ---- */

/* Reads and checks; opens nothing. 0, or an exit status: the error has been said. */
int http_arguments(struct http_args *args, const char *const *argv, bool *wants_help);

/* ---- http_input.c ---- */

/* -H: lines of the command line into fields, those of files into secrets. As above. */
int http_fields_read(struct http_command *c);
/* -d or --json: opens its file, which may wait for a FIFO's other end. As above. */
int http_body_open(struct http_command *c);
/* Reads it from now on. As above. In a runtime. */
int http_body_adopt(struct http_body *body);
/* is_cut: says so. */
void http_body_say_cut(const struct http_body *body);
/* Makes it the request's. */
void http_body_set(struct http_command *c);
void http_body_close(struct http_body *body);

/* ---- http_show.c ---- */

/* For weft_http_request: -v. user: the command. */
void http_show_request(void *user, const char *head, size_t size);
void http_show_interim(void *user, unsigned status, const weft_http_fields *fields);
weft_err http_show_redirect(void *user, weft_http_response *response, const char *url);
/* -v: the connection and the head. */
void http_show_response(const weft_http_response *response);
/* -v, after the body: trailers and times. */
void http_show_end(const weft_http_response *response);
/* -i: the head into the output. */
weft_err http_head_write(struct http_command *c, const weft_http_response *response);

/* ---- http_events.c ---- */

/* --sse: until a signal, a final error, or the end of the time. Sets status. */
void http_events(struct http_command *c);

#endif
