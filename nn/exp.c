#include "nn/exp.h"

const float ib_exp_low = -87.0f, ib_exp_high = 88.0f;
