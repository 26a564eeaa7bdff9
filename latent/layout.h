/* Layouts by name, for files that say them. */
#ifndef IB_LATENT_LAYOUT_H
#define IB_LATENT_LAYOUT_H

#include <stdbool.h>
#include "latent/space.h"

/* The layout of which ib_layout_name gives `name`; false, and *out as it was, if there is none. */
bool ib_layout_named(const char *name, ib_layout *out);

#endif
