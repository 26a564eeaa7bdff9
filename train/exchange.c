#include "train/exchange.h"
#include <string.h>
#include "base/memory.h"

int ib_exchange_enter(ib_session *s, ib_error *err) {
    int rc = ib_exchange_mpi_enter(s, err);
    return rc || s->exchange ? rc : ib_exchange_pool_enter(s, err);
}

int ib_exchange_open(ib_session *s, ib_error *err) {
    if (!s->exchange) {
        return IB_OK;
    }
    int rc = ib_alloc_floats(&s->mean_base, s->state.params, "the mean of weights", err);
    if (rc) {
        return rc;
    }
    memcpy(s->mean_base, s->state.ema, s->state.params * sizeof(float));
    s->mean_kept = 1;
    return s->exchange->kind->open(s->exchange, s, err);
}

int ib_exchange_agree(ib_session *s, int rc, ib_error *err) {
    return s->exchange && s->exchange->kind->agree ? s->exchange->kind->agree(s->exchange, s, rc, err) : rc;
}

int ib_exchange_begin(ib_session *s, ib_error *err) {
    return s->exchange ? s->exchange->kind->begin(s->exchange, s, err) : IB_OK;
}

int ib_exchange_after_step(ib_session *s, ib_error *err) {
    return s->exchange ? s->exchange->kind->after_step(s->exchange, s, err) : IB_OK;
}

int ib_exchange_end(ib_session *s, bool whole, ib_error *err) {
    return s->exchange ? s->exchange->kind->end(s->exchange, s, whole, err) : IB_OK;
}

bool ib_exchange_saves(const ib_session *s) {
    return s->exchange && s->exchange->kind->save;
}

int ib_exchange_save(ib_session *s, ib_error *err) {
    return ib_exchange_saves(s) ? s->exchange->kind->save(s->exchange, s, err) : ib_session_save(s, err);
}

void ib_exchange_close(ib_session *s) {
    if (s->exchange) {
        s->exchange->kind->close(s->exchange);
        s->exchange = NULL;
    }
    ib_free(s->mean_base);
    s->mean_base = NULL;
}

void ib_exchange_take(ib_session *s, const float *w, bool begin) {
    ib_state *st = &s->state;
    size_t bytes = st->params * sizeof(float);
    memcpy(ib_adapter_params(s->adapter), w, bytes);
    ib_adapter_refresh(s->adapter);
    if (begin) {
        memcpy(st->ema, w, bytes);
    } else {
        memcpy(st->ema, s->mean_base, bytes);
        ib_ema_update(st->ema, w, st->params, s->mean_kept, s->threads);
    }
    memcpy(s->mean_base, st->ema, bytes);
    s->mean_kept = 1;
}
