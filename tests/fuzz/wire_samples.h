/* Valid messages of every kind, and a judge of decoded ones that shares no code with the codec.
 * Used by the unit tests, the mutation test and the fuzz targets. */
#ifndef PXT_WIRE_SAMPLES_H
#define PXT_WIRE_SAMPLES_H

#include "core/message.h"
#include "wire/chain.h"
#include "wire/trace.h"

/* Samples 0 .. wire_sample_count () - 1: each kind, plain and with its arrays full. */
uint32_t wire_sample_count (void);
/* Arrays are static. *n_payloads gets the frames that belong to it. */
void wire_sample (uint32_t index, pxi_message *message, uint32_t *n_payloads);

/* What is out of range in a message that the codec accepted; NULL = nothing. */
const char *wire_message_fault (const pxi_message *message);
bool wire_message_same (const pxi_message *a, const pxi_message *b);

/* A chain with failures and shares; texts are static. */
void wire_chain_sample (pxi_chain *chain);
const char *wire_chain_fault (const pxi_chain *chain);
bool wire_chain_same (const pxi_chain *a, const pxi_chain *b);

/* A batch of trace records of both sides and every end. */
void wire_trace_sample (pxi_trace_batch *batch);
const char *wire_trace_fault (const pxi_trace_batch *batch);

#endif
