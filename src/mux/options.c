/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "mux/session.h"

#define BUFFER_MAX ((size_t)INT32_MAX)
#define MAX_STREAMS_DEFAULT 65536
#define MAX_STREAMS_MAX ((size_t)1 << 28)
#define BACKLOG_DEFAULT 1024
#define LINGER_DEFAULT_NS INT64_C(5000000000)
#define MEMORY_FACTOR 4
#define NS_PER_MS INT64_C(1000000)

static weft_err check_size(const char *name, size_t value, size_t min, size_t max)
{
	if (value >= min && value <= max)
		return WEFT_OK;
	return err_setf(
		WEFT_EINVAL, "mux option %s is %zu: allowed is %zu to %zu", name, value, min, max);
}

static weft_err check_keepalive(const weft_mux_options *o)
{
	if (o->keepalive_disabled)
		return WEFT_OK;
	if (o->keepalive_interval_ns <= 0)
		return err_setf(WEFT_EINVAL,
			"mux option keepalive_interval_ns is %lld: it must be above 0",
			(long long)o->keepalive_interval_ns);
	if (o->keepalive_timeout_ns < o->keepalive_interval_ns)
		return err_setf(WEFT_EINVAL,
			"mux option keepalive_timeout_ns is %lld: it must be at least "
			"keepalive_interval_ns (%lld)",
			(long long)o->keepalive_timeout_ns, (long long)o->keepalive_interval_ns);
	return WEFT_OK;
}

bool mux_is_idle_timeout(int64_t ns)
{
	return ns == 0 || (ns >= NS_PER_MS && ns / NS_PER_MS <= UINT32_MAX);
}

weft_err weft_mux_options_check(const weft_mux_options *o)
{
	weft_err err;

	if (!o)
		return WEFT_OK;
	err = check_size("version", o->version, 1, 2);
	if (!err)
		err = check_keepalive(o);
	if (!err)
		err = check_size("max_frame_size", o->max_frame_size, 1, WEFT_MUX_FRAME_SIZE_MAX);
	if (!err)
		err = check_size("max_receive_buffer", o->max_receive_buffer, 1, BUFFER_MAX);
	if (!err)
		err = check_size("max_stream_buffer", o->max_stream_buffer, 1, BUFFER_MAX);
	if (!err && o->max_stream_buffer > o->max_receive_buffer)
		err = err_setf(WEFT_EINVAL,
			"mux option max_stream_buffer is %zu: it must not be above "
			"max_receive_buffer (%zu)",
			o->max_stream_buffer, o->max_receive_buffer);
	if (!err)
		err = check_size("max_streams", o->max_streams, 0, MAX_STREAMS_MAX);
	if (!err)
		err = check_size(
			"accept_backlog", o->accept_backlog, 0, WEFT_CHAN_CAPACITY_MAX >> 6);
	if (!err && !mux_is_idle_timeout(o->idle_timeout_ns))
		err = err_setf(WEFT_EINVAL,
			"mux option idle_timeout_ns is %lld: it must be 0, or at least 1000000 "
			"(1 ms) and below 2^32 ms",
			(long long)o->idle_timeout_ns);
	return err;
}

weft_err mux_options_settle(weft_mux_options *out, const weft_mux_options *given)
{
	weft_mux_options o = WEFT_MUX_OPTIONS_DEFAULT;
	weft_err err = weft_mux_options_check(given);

	if (err)
		return err;
	if (given)
		o = *given;
	if (o.max_streams == 0)
		o.max_streams = MAX_STREAMS_DEFAULT;
	if (o.accept_backlog == 0)
		o.accept_backlog = BACKLOG_DEFAULT;
	if (o.max_memory == 0)
		o.max_memory = o.max_receive_buffer * MEMORY_FACTOR;
	if (o.max_memory > INT64_MAX) /* it is compared with a signed number */
		o.max_memory = INT64_MAX;
	if (o.linger_ns < 0)
		o.linger_ns = LINGER_DEFAULT_NS;
	*out = o;
	return WEFT_OK;
}
