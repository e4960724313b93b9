/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "net/options.h"

#include "base/err.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define BUFFER_MAX ((unsigned)1 << 30)
#define KEEPALIVE_SECONDS_MAX 32767 /* the kernel's */
#define KEEPALIVE_COUNT_MAX 127	    /* the kernel's */

static weft_err check_range(const char *field, unsigned value, unsigned min, unsigned max)
{
	if (value >= min && value <= max)
		return WEFT_OK;
	return err_setf(
		WEFT_EINVAL, "weft_net_options.%s: %u is not in %u..%u", field, value, min, max);
}

static unsigned or_default(unsigned value, unsigned otherwise)
{
	return value ? value : otherwise;
}

weft_err net_options_check(weft_net_options *out, const weft_net_options *options)
{
	static const weft_net_options defaults = WEFT_NET_OPTIONS_DEFAULT;
	weft_net_options o = options ? *options : defaults;
	weft_err err;

	o.keepalive_idle_s = or_default(o.keepalive_idle_s, 60);
	o.keepalive_interval_s = or_default(o.keepalive_interval_s, 10);
	o.keepalive_count = or_default(o.keepalive_count, 6);
	o.attempt_delay_ms = or_default(o.attempt_delay_ms, 250);
	o.backlog = or_default(o.backlog, 4096);
	err = check_range("keepalive_idle_s", o.keepalive_idle_s, 1, KEEPALIVE_SECONDS_MAX);
	if (!err)
		err = check_range(
			"keepalive_interval_s", o.keepalive_interval_s, 1, KEEPALIVE_SECONDS_MAX);
	if (!err)
		err = check_range("keepalive_count", o.keepalive_count, 1, KEEPALIVE_COUNT_MAX);
	if (!err)
		err = check_range("send_buffer", o.send_buffer, 0, BUFFER_MAX);
	if (!err)
		err = check_range("receive_buffer", o.receive_buffer, 0, BUFFER_MAX);
	if (!err)
		err = check_range("attempt_delay_ms", o.attempt_delay_ms, 10, 2000);
	if (!err)
		err = check_range("backlog", o.backlog, 1, INT_MAX);
	if (!err && o.unix_mode > 0777)
		err = err_setf(
			WEFT_EINVAL, "weft_net_options.unix_mode: 0%o is above 0777", o.unix_mode);
	if (!err)
		*out = o;
	return err;
}

static void set_int(int fd, int level, int name, unsigned value)
{
	int v = (int)value;

	(void)setsockopt(fd, level, name, &v, sizeof(v));
}

void net_options_apply(const weft_net_options *options, struct io_handle *handle, bool tcp)
{
	int fd = handle->ops->fd(handle);

	if (fd < 0)
		return;
	if (options->send_buffer)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, options->send_buffer);
	if (options->receive_buffer)
		set_int(fd, SOL_SOCKET, SO_RCVBUF, options->receive_buffer);
	if (!tcp)
		return;
	if (options->nodelay)
		set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!options->keepalive)
		return;
	set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->keepalive_idle_s);
	set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->keepalive_interval_s);
	set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keepalive_count);
}
