/* SPDX-License-Identifier: MIT */
#include "proto/smux/smux.h"

#include <string.h>

static void put_u16(uint8_t *out, uint16_t value)
{
	out[0] = (uint8_t)value;
	out[1] = (uint8_t)(value >> 8);
}

static void put_u32(uint8_t *out, uint32_t value)
{
	put_u16(out, (uint16_t)value);
	put_u16(out + 2, (uint16_t)(value >> 16));
}

static uint16_t get_u16(const uint8_t *in)
{
	return (uint16_t)(in[0] | in[1] << 8);
}

static uint32_t get_u32(const uint8_t *in)
{
	return get_u16(in) | (uint32_t)get_u16(in + 2) << 16;
}

void smux_put_header(
	uint8_t *out, unsigned version, enum smux_cmd cmd, uint16_t length, uint32_t id)
{
	out[0] = (uint8_t)version;
	out[1] = (uint8_t)cmd;
	put_u16(out + 2, length);
	put_u32(out + 4, id);
}

void smux_put_upd(uint8_t *out, uint32_t id, uint32_t consumed, uint32_t window)
{
	smux_put_header(out, 2, SMUX_UPD, 8, id);
	put_u32(out + 8, consumed);
	put_u32(out + 12, window);
}

void smux_decoder_init(struct smux_decoder *decoder, unsigned version)
{
	memset(decoder, 0, sizeof(*decoder));
	decoder->version = version;
}

/* Until head has so many bytes. False: there were not enough. */
static bool fill(struct smux_decoder *d, unsigned want, const uint8_t **data, size_t *len)
{
	size_t n = want - d->have;

	if (n > *len)
		n = *len;
	memcpy(d->head + d->have, *data, n);
	d->have += (unsigned)n;
	*data += n;
	*len -= n;
	return d->have == want;
}

static enum smux_fault judge(const struct smux_decoder *d)
{
	uint16_t length = get_u16(d->head + 2);

	if (d->head[0] != d->version)
		return SMUX_FAULT_VERSION;
	switch (d->head[1]) {
	case SMUX_SYN:
	case SMUX_FIN:
	case SMUX_NOP:
		return length == 0 ? SMUX_FAULT_NONE : SMUX_FAULT_LENGTH;
	case SMUX_PSH:
		return SMUX_FAULT_NONE;
	case SMUX_UPD:
		if (d->version < 2)
			return SMUX_FAULT_CMD;
		return length == 8 ? SMUX_FAULT_NONE : SMUX_FAULT_LENGTH;
	default:
		return SMUX_FAULT_CMD;
	}
}

static enum smux_event take_payload(
	struct smux_decoder *d, const uint8_t **data, size_t *len, struct smux_frame *frame)
{
	size_t n = d->left < *len ? d->left : *len;

	frame->id = d->id;
	frame->data = *data;
	frame->len = n;
	*data += n;
	*len -= n;
	d->left -= (uint32_t)n;
	return SMUX_EVENT_DATA;
}

/* A whole header that is right. */
static enum smux_event take_header(struct smux_decoder *d, struct smux_frame *frame)
{
	d->headers++;
	d->have = 0;
	d->id = get_u32(d->head + 4);
	frame->id = d->id;
	switch (d->head[1]) {
	case SMUX_SYN:
		return SMUX_EVENT_SYN;
	case SMUX_FIN:
		return SMUX_EVENT_FIN;
	case SMUX_PSH:
		d->left = get_u16(d->head + 2);
		return SMUX_EVENT_NONE;
	default:
		return SMUX_EVENT_NONE;
	}
}

static enum smux_event take_upd(struct smux_decoder *d, struct smux_frame *frame)
{
	d->headers++;
	d->have = 0;
	frame->id = get_u32(d->head + 4);
	frame->consumed = get_u32(d->head + 8);
	frame->window = get_u32(d->head + 12);
	return SMUX_EVENT_UPD;
}

enum smux_event smux_decoder_next(
	struct smux_decoder *d, const uint8_t **data, size_t *len, struct smux_frame *frame)
{
	enum smux_event event = SMUX_EVENT_NONE;

	while (!d->fault && *len > 0 && event == SMUX_EVENT_NONE) {
		if (d->left > 0)
			return take_payload(d, data, len, frame);
		if (d->have < SMUX_HEADER_SIZE && !fill(d, SMUX_HEADER_SIZE, data, len)) {
			/* what is no smux at all is told at its first byte */
			if (d->head[0] != d->version)
				d->fault = SMUX_FAULT_VERSION;
			break;
		}
		d->fault = judge(d);
		if (d->fault)
			break;
		if (d->head[1] != SMUX_UPD)
			event = take_header(d, frame);
		else if (fill(d, SMUX_UPD_SIZE, data, len))
			event = take_upd(d, frame);
	}
	return d->fault ? SMUX_EVENT_FAULT : event;
}
