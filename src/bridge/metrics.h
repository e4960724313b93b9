/* SPDX-License-Identifier: MIT */
#ifndef BRIDGE_METRICS_H
#define BRIDGE_METRICS_H

/*
 * How a bridge is, for those who watch it: --metrics, a listener of http: of its own with /metrics, in
 * Prometheus' text format, and /healthz; and /healthz of a FROM that is http:.
 *
 * Each scrape makes its text from counters that are there anyway; nothing waits for it. No label has a
 * value that a client chooses: servers are those of the configuration, all else is a list of this
 * program's.
 */
#include "bridge/bridge.h"
#include "bridge/exposition.h"
#include "bridge/faults.h"
#include "bridge/grown_text.h"

#include <weft/http_server.h>

#define METRICS_PATH "/metrics"

struct metrics;

/* What can be said before anything is opened. Errors: WEFT_EINVAL. */
WEFT_MUST_CHECK weft_err metrics_check(const struct weft_bridge *bridge);
/* Binds its listener. In a fiber. Errors: as weft_listen; WEFT_EAUTH (others could reach it),
 * WEFT_EINVAL (files of TLS), WEFT_ENOMEM; metrics_fini is called then, too. */
WEFT_MUST_CHECK weft_err metrics_open(struct weft_bridge *bridge);
/* Serves, until fini. Errors: WEFT_ENOMEM, WEFT_ECAPACITY. */
WEFT_MUST_CHECK weft_err metrics_start(struct weft_bridge *bridge);
void metrics_reload(struct weft_bridge *bridge, struct faults *faults);
/* In a fiber. */
void metrics_fini(struct weft_bridge *bridge);

/* --- metrics_text.c --- */
void metrics_write(const struct weft_bridge *bridge, struct exposition *out);

/* --- health.c: for a route; arg: struct weft_bridge --- */
weft_err health_handler(weft_http_exchange *x, void *arg);

#endif
