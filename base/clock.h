/* Time that passes, whatever happens to the date. */
#ifndef IB_BASE_CLOCK_H
#define IB_BASE_CLOCK_H

/* Seconds since some moment, of a clock that is never set (CLOCK_MONOTONIC): only
 * differences mean something. */
double ib_clock_seconds(void);

#endif
