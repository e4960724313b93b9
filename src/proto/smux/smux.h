/* SPDX-License-Identifier: MIT */
#ifndef PROTO_SMUX_SMUX_H
#define PROTO_SMUX_SMUX_H

/*
 * Frames of smux, versions 1 and 2: bytes in, events out; no I/O, no memory, no clock.
 *
 *	version u8 | cmd u8 | length u16 | stream id u32 | payload (length bytes)
 *	UPD's payload: consumed u32 | window u32		all little-endian
 *
 * A decoder keeps what of a header, or of an UPD, came so far. Payload is never kept: it is
 * handed out in pieces as it comes, where it lies.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMUX_HEADER_SIZE 8
#define SMUX_UPD_SIZE 16 /* with its header */
#define SMUX_PAYLOAD_MAX 65535

enum smux_cmd {
	SMUX_SYN = 0,
	SMUX_FIN = 1,
	SMUX_PSH = 2,
	SMUX_NOP = 3,
	SMUX_UPD = 4, /* version 2 only */
};

/* Writes SMUX_HEADER_SIZE bytes. */
void smux_put_header(
	uint8_t *out, unsigned version, enum smux_cmd cmd, uint16_t length, uint32_t id);
/* Writes SMUX_UPD_SIZE bytes; version 2. */
void smux_put_upd(uint8_t *out, uint32_t id, uint32_t consumed, uint32_t window);

enum smux_fault {
	SMUX_FAULT_NONE,
	SMUX_FAULT_VERSION, /* another version, or no smux at all */
	SMUX_FAULT_CMD,	    /* unknown; UPD in version 1 is */
	SMUX_FAULT_LENGTH,  /* payload on SYN, FIN or NOP; UPD's is not 8 */
};

/* Everything is the decoder's own but version, fault and head, which may be read. */
struct smux_decoder {
	unsigned version;
	enum smux_fault fault;	     /* for good, once set */
	unsigned have;		     /* bytes in head */
	uint8_t head[SMUX_UPD_SIZE]; /* of the frame that is being read, or is at fault */
	uint32_t left;		     /* bytes of payload that are still to come */
	uint32_t id;		     /* whose they are */
	uint64_t headers;	     /* so far */
};

enum smux_event {
	SMUX_EVENT_NONE, /* everything was consumed: more bytes are needed */
	SMUX_EVENT_SYN,
	SMUX_EVENT_FIN,
	SMUX_EVENT_DATA, /* a piece of payload: data, len; at least a byte */
	SMUX_EVENT_UPD,	 /* consumed, window */
	SMUX_EVENT_FAULT,
};

struct smux_frame {
	uint32_t id;
	const uint8_t *data; /* within what was fed */
	size_t len;
	uint32_t consumed, window;
};

/* version 1 or 2 */
void smux_decoder_init(struct smux_decoder *decoder, unsigned version);
/*
 * The next event of the bytes at *data, of which it takes what belongs to it: call it until
 * SMUX_EVENT_NONE. NOP and empty PSH are no events; they count in headers. After a fault
 * nothing more is taken.
 */
enum smux_event smux_decoder_next(
	struct smux_decoder *decoder, const uint8_t **data, size_t *len, struct smux_frame *frame);
/* So many bytes of the payload under way, at most left, went past the decoder. */
static inline void smux_decoder_skip(struct smux_decoder *decoder, uint32_t len)
{
	decoder->left -= len;
}

/* True between frames: an end of the bytes here cuts none. */
static inline bool smux_decoder_is_between(const struct smux_decoder *decoder)
{
	return decoder->have == 0 && decoder->left == 0;
}

#endif
