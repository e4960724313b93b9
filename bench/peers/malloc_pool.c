/* SPDX-License-Identifier: MIT */
/* The C library's malloc and free, beside pool.c; see pool_rows.h. */
#include <stddef.h>
#include <stdlib.h>

struct piece {
	void *data;
};

static inline void take(struct piece *piece, size_t size)
{
	piece->data = malloc(size);
	if (!piece->data)
		abort();
}

static inline void give(struct piece *piece)
{
	free(piece->data);
}

static void trim(void) {}

#include "../pool_rows.h"

int main(int argc, char **argv)
{
	return pool_main(argc, argv);
}
