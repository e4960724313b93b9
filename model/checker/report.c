/* SPDX-License-Identifier: MIT */
/* A failed schedule, a line an event, for humans. */
#include "checker/checker.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLACE_MAX 512

void fail_at(void *pc, void *other, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(mc->failure, sizeof(mc->failure), format, args);
	va_end(args);
	mc->failed = true;
	mc->failure_pc = pc;
	mc->failure_other = other;
	run_over();
}

void model_fail(const char *format, ...)
{
	va_list args;
	char text[sizeof(mc->failure)];

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fail_at(__builtin_return_address(0), NULL, "%s", text);
}

void model_note(const char *text, long value)
{
	if (mc->notes_n < NOTES)
		mc->notes[mc->notes_n++] =
			(struct note){ mc->depth, (uint8_t)mc->self, text, value };
}

unsigned model_self(void)
{
	return mc->self;
}

/* "FUNCTION\nFILE:LINE", innermost first, of which the first outside the stand-ins. */
static void place_of(void *pc, char *function, char *file, unsigned *line)
{
	char command[128], text[PLACE_MAX], exe[PLACE_MAX];
	FILE *pipe;

	*function = *file = '\0';
	*line = 0;
	if (!pc)
		return;
	if (!realpath("/proc/self/exe", exe))
		return;
	snprintf(command, sizeof(command), "addr2line -f -i -e /proc/%d/exe %p 2>/dev/null",
		(int)getpid(), (void *)((uintptr_t)pc - 1));
	pipe = popen(command, "r");
	while (pipe && fgets(text, sizeof(text), pipe)) {
		text[strcspn(text, "\n")] = '\0';
		snprintf(function, PLACE_MAX, "%s", text);
		if (!fgets(text, sizeof(text), pipe))
			break;
		text[strcspn(text, " \n")] = '\0';
		snprintf(file, PLACE_MAX, "%s", text);
		if (!strstr(text, "model/include/"))
			break;
	}
	if (pipe)
		pclose(pipe);
	if (strrchr(file, ':')) {
		*line = (unsigned)strtoul(strrchr(file, ':') + 1, NULL, 10);
		*strrchr(file, ':') = '\0';
	}
}

static void source_line(const char *file, unsigned line, char *text, size_t size)
{
	FILE *in = fopen(file, "r");
	char *whole = NULL;
	size_t room = 0;

	*text = '\0';
	while (in && line > 0 && getline(&whole, &room, in) >= 0)
		line--;
	if (in)
		fclose(in);
	if (whole && line == 0)
		snprintf(text, size, "%s", whole + strspn(whole, "\t "));
	text[strcspn(text, "\n")] = '\0';
	free(whole);
}

static void print_place(FILE *out, void *pc)
{
	char function[PLACE_MAX], file[PLACE_MAX], text[PLACE_MAX];
	const char *short_file;
	unsigned line;

	place_of(pc, function, file, &line);
	source_line(file, line, text, 100);
	short_file = strstr(file, "/src/") ? strstr(file, "/src/") + 5
		: strrchr(file, '/')	   ? strrchr(file, '/') + 1
					   : file;
	fprintf(out, "%s:%u %s: %s", short_file, line, function, text);
}

static const char *const orders[] = { "relaxed", "consume", "acquire", "release", "acq_rel",
	"seq_cst" };

static void print_what(FILE *out, const struct event *e)
{
	const struct op *op = &e->op;
	char loc = e->loc < 0 ? '-' : 'L';

	switch (op->kind) {
	case OP_LOAD:
		fprintf(out, "%c%d load %s: %#lx", loc, e->loc, orders[op->order],
			(unsigned long)op->result);
		if (e->read + 1u < e->last)
			fprintf(out, " (OLD: %u of %u)", e->read + 1u, e->last);
		break;
	case OP_STORE:
		fprintf(out, "%c%d store %s: %#lx -> %#lx", loc, e->loc, orders[op->order],
			(unsigned long)e->before, (unsigned long)op->operand);
		break;
	case OP_RMW:
		fprintf(out, "%c%d rmw %s: %#lx, %s %#lx", loc, e->loc, orders[op->order],
			(unsigned long)op->result,
			(const char *[]){ "becomes", "+", "-", "|", "&", "^" }[op->rmw],
			(unsigned long)op->operand);
		break;
	case OP_CAS:
		fprintf(out, "%c%d cas %s: %#lx %s %#lx", loc, e->loc,
			orders[op->ok ? op->order : op->fail_order], (unsigned long)op->result,
			op->ok ? "becomes" : "stays, is not",
			(unsigned long)(op->ok ? op->operand : op->expected));
		if (!op->ok && e->read + 1u < e->last)
			fprintf(out, " (OLD: %u of %u)", e->read + 1u, e->last);
		break;
	default:
		fprintf(out, "%c%d %s: %lu", loc, e->loc,
			(const char *[]){ "lock", "unlock", "park", "unpark", "futex wait",
				"futex resumes", "futex wake", "spin", "choose", "barrier",
				"done" }[op->kind - OP_LOCK],
			(unsigned long)op->result);
		break;
	}
}

static void print_notes(FILE *out, int event)
{
	for (size_t i = 0; i < mc->notes_n; i++)
		if (mc->notes[i].event == event)
			fprintf(out, "      %*s%u: -- %s %ld\n", (mc->notes[i].thread - 1) * 2, "",
				mc->notes[i].thread, mc->notes[i].text, mc->notes[i].value);
}

/* whole: every event; else the failure alone. */
void report_failure(FILE *out, bool whole)
{
	for (int i = 0; whole && i < mc->depth; i++) {
		const struct event *e = &mc->events[i];

		print_notes(out, i);
		fprintf(out, "%4d  %*s%u: ", i, (e->thread - 1) * 2, "", e->thread);
		print_what(out, e);
		fprintf(out, "\n          %*s", (e->thread - 1) * 2, "");
		print_place(out, e->op.pc);
		fputc('\n', out);
	}
	if (whole)
		print_notes(out, mc->depth);
	fprintf(out, "FAILED: %s", mc->failure);
	if (mc->failure_pc) {
		fputs("\n        at ", out);
		print_place(out, mc->failure_pc);
	}
	if (mc->failure_other) {
		fputs("\n        and ", out);
		print_place(out, mc->failure_other);
	}
	fputc('\n', out);
}
