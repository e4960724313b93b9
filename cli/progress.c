/* SPDX-License-Identifier: MIT */
/* See progress.h. */
#include "progress.h"

#include <stdio.h>
#include <string.h>

#define NS_PER_S 1e9
#define SMOOTH 0.7 /* of the former rate, for each tick */
#define BAR_MIN 10 /* columns; narrower terminals get none */
#define TEXT_MAX 128

void progress_init(struct progress *progress, int64_t total, int64_t now_ns)
{
	*progress = (struct progress){
		.total = total, .begun_ns = now_ns, .last_ns = now_ns, .rate = -1
	};
}

void progress_tick(struct progress *progress, uint64_t bytes, int64_t now_ns)
{
	double seconds = (double)(now_ns - progress->last_ns) / NS_PER_S;
	double rate;

	if (seconds <= 0)
		return;
	rate = (double)(bytes - progress->last_bytes) / seconds;
	progress->rate = progress->rate < 0 ? rate : progress->rate * SMOOTH + rate * (1 - SMOOTH);
	progress->last_ns = now_ns;
	progress->last_bytes = bytes;
}

void progress_size(char *out, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1000 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(out, 16, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* "0:07", "12:34", "3:25:45". */
static void time_format(char *out, size_t size, double seconds)
{
	uint64_t s = seconds < 0 ? 0 : seconds > 359999 ? 359999 : (uint64_t)(seconds + 0.5);

	if (s >= 3600)
		(void)snprintf(out, size, "%u:%02u:%02u", (unsigned)(s / 3600),
			(unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		(void)snprintf(out, size, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}

/* What stands behind the bar. */
static void numbers(const struct progress *p, char *out, size_t size, uint64_t bytes,
	int64_t now_ns, bool is_over)
{
	double seconds = (double)(now_ns - p->begun_ns) / NS_PER_S, rate = p->rate;
	char done[16], all[24] = "", speed[16], when[40] = "", left[16];

	if (is_over)
		rate = seconds > 0 ? (double)bytes / seconds : 0;
	progress_size(done, bytes);
	progress_size(speed, rate > 0 ? (uint64_t)rate : 0);
	if (p->total >= 0 && !is_over) {
		char total[16];

		progress_size(total, (uint64_t)p->total);
		(void)snprintf(all, sizeof(all), " of %s", total);
	}
	if (is_over) {
		time_format(left, sizeof(left), seconds);
		(void)snprintf(when, sizeof(when), "  in %s", left);
	} else if (p->total >= 0 && rate > 0 && (uint64_t)p->total > bytes) {
		time_format(left, sizeof(left), (double)((uint64_t)p->total - bytes) / rate);
		(void)snprintf(when, sizeof(when), "  %s left", left);
	}
	(void)snprintf(out, size, "%s%s  %s/s%s", done, all, speed, when);
}

/* "[=====>     ]", of columns in all. */
static void bar(char *out, size_t columns, double part)
{
	size_t inner = columns - 2, filled = (size_t)(part * (double)inner);

	out[0] = '[';
	memset(out + 1, ' ', inner);
	memset(out + 1, '=', filled);
	if (filled < inner)
		out[1 + filled] = '>';
	out[columns - 1] = ']';
	out[columns] = '\0';
}

/* Appends what there is room for. */
static void put(char *out, size_t width, const char *text)
{
	size_t used = strlen(out), len = strlen(text);

	if (len > width - used)
		len = width - used;
	memcpy(out + used, text, len);
	out[used + len] = '\0';
}

void progress_line(const struct progress *p, char *out, size_t width, uint64_t bytes,
	int64_t now_ns, bool is_over)
{
	char text[TEXT_MAX], head[8] = "", middle[PROGRESS_WIDTH_MAX + 1] = "";
	double part = 0;
	size_t used;

	if (width > PROGRESS_WIDTH_MAX)
		width = PROGRESS_WIDTH_MAX;
	if (p->total > 0)
		part = bytes < (uint64_t)p->total ? (double)bytes / (double)p->total : 1;
	numbers(p, text, sizeof(text), bytes, now_ns, is_over);
	if (p->total > 0)
		(void)snprintf(head, sizeof(head), "%3u%%  ", (unsigned)(part * 100));
	used = strlen(head) + strlen(text) + 2;
	if (p->total > 0 && width >= used + BAR_MIN)
		bar(middle, width - used, part);
	out[0] = '\0';
	put(out, width, head);
	put(out, width, middle);
	put(out, width, *middle ? "  " : "");
	put(out, width, text);
}
