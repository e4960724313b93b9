/* SPDX-License-Identifier: MIT */
/* The weft command: finds which of its commands is meant. Public headers only. */
#include "commands.h"
#include "flags.h"
#include "say.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

static const char usage[] =
	"usage: weft COMMAND [ARGUMENT...]\n"
	"\n"
	"weft carries byte streams between anything and anything: this process's stdin and\n"
	"stdout, child processes, TCP and Unix sockets, and many streams over one connection;\n"
	"and messages of the Model Context Protocol between these and HTTP.\n"
	"\n"
	"commands:\n"
	"  bridge FROM TO     accept sessions at FROM, open TO for each\n"
	"  http URL           send an HTTP request, show the response\n"
	"  replay FILE TO     play what bridge --record has recorded, as client or server\n"
	"  help [COMMAND]     this text, or a command's\n"
	"\n"
	"  --help, --version\n"
	"\n"
	"weft COMMAND --help lists flags; man weft-bridge, man weft-http and\n"
	"man weft-replay say it all.\n";

static const char *const names[] = { "bridge", "http", "replay", "help" };

static int unknown(const char *name)
{
	const char *near = flag_nearest(name, names, sizeof(names) / sizeof(names[0]));

	if (name[0] == '-')
		return say_usage("unknown flag %s; try weft --help", name);
	if (near)
		return say_usage("unknown command \"%s\"; did you mean %s?", name, near);
	return say_usage("unknown command \"%s\"; try weft --help", name);
}

static int help(const char *name)
{
	if (!name || strcmp(name, "help") == 0)
		(void)fputs(usage, stdout);
	else if (strcmp(name, "bridge") == 0)
		command_bridge_help();
	else if (strcmp(name, "http") == 0)
		command_http_help();
	else if (strcmp(name, "replay") == 0)
		command_replay_help();
	else
		return unknown(name);
	return say_flush();
}

/* A descriptor of ours that came to be 0, 1 or 2, because the shell had closed it, would be
 * taken for stdin or written to as stderr. has_output: standard output is what the command is
 * for; where it was closed, writing there fails rather than being lost unsaid. */
static void fill_stdio(bool has_output)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd == STDOUT_FILENO && has_output) {
			(void)close(fd);
			fd = open("/dev/null", O_RDONLY);
		}
	} while (fd >= 0 && fd < 2);
	if (fd > 2)
		(void)close(fd);
}

/* Blocks of a megabyte and more are had from the system and given back to it, one by one: glibc would
 * keep them in its heap once it has seen some, and a large message cost what it does for good. */
static void keep_memory_small(void)
{
#ifdef __GLIBC__
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

int main(int argc, char **argv)
{
	const char *const *args = (const char *const *)argv + 1;

	keep_memory_small();
	fill_stdio(argc > 1 && strcmp(args[0], "bridge") != 0);
	if (argc < 2) {
		(void)say_usage("which command? try weft --help");
		return EXIT_USAGE;
	}
	if (strcmp(args[0], "bridge") == 0)
		return command_bridge(args + 1);
	if (strcmp(args[0], "http") == 0)
		return command_http(args + 1);
	if (strcmp(args[0], "replay") == 0)
		return command_replay(args + 1);
	if (strcmp(args[0], "--version") == 0) {
		(void)printf("weft %s\n", weft_version());
		return say_flush();
	}
	if (strcmp(args[0], "--help") == 0 || strcmp(args[0], "-h") == 0)
		return help(NULL);
	if (strcmp(args[0], "help") == 0)
		return help(args[1]);
	return unknown(args[0]);
}
