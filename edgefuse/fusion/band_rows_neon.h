/* Rows of band_rows.c for 64-bit ARM in NEON instructions: the same bits in a third of the instructions that compilers make of the C.

   A row of a smaller band is enlarged along the row once, and serves all rows between it and its neighbours. The rest is done for 16
   pixels at a time, in registers. */

#ifndef EDGEFUSE_BAND_ROWS_NEON_H
#define EDGEFUSE_BAND_ROWS_NEON_H

#include <arm_neon.h>

enum { BLOCK = 16, PLANES = 5, PADDING = 32 }; /* PADDING: numbers that may be written behind the end of a row */

typedef struct {
    const u8 *small;    /* the smaller band; NULL: not used */
    u16 *above, *below; /* two of its rows, enlarged along the row, in 2f-ths of a level, where f is the job's factor */
} Plane;

/* Enlarges a row of a smaller band along the row, in 2f-ths of a level. edged: scratch, columns + 10. */
INLINE void stretch(const int f, const u8 *restrict small, int columns, u8 *restrict edged, u16 *restrict out)
{
    edged[0] = small[0];
    memcpy(edged + 1, small, (size_t)columns);
    memset(edged + columns + 1, small[columns - 1], 9);
    const uint8x8_t three = vdup_n_u8(3), five = vdup_n_u8(5), seven = vdup_n_u8(7);
    for (int i = 0; i < columns; i += 8) {
        const uint8x8_t before = vld1_u8(edged + i), here = vld1_u8(edged + i + 1), after = vld1_u8(edged + i + 2);
        if (f == 4) {
            uint16x8x4_t v;
            v.val[0] = vmlal_u8(vmull_u8(before, three), here, five);
            v.val[1] = vmlal_u8(vmovl_u8(before), here, seven);
            v.val[2] = vmlal_u8(vmovl_u8(after), here, seven);
            v.val[3] = vmlal_u8(vmull_u8(after, three), here, five);
            vst4q_u16(out + 4 * i, v);
        } else {
            uint16x8x2_t v;
            v.val[0] = vmlal_u8(vmovl_u8(before), here, three);
            v.val[1] = vmlal_u8(vmovl_u8(after), here, three);
            vst2q_u16(out + 2 * i, v);
        }
    }
}

/* Returns pixels x to x + 15 of a row of the enlarged band, rounded half up; above, below: weights of the two rows, in 2f-ths. */
INLINE uint8x16_t enlarged_block(const int f, const Plane *p, int x, u16 above, u16 below)
{
    const uint16x8_t low = vmlaq_n_u16(vmulq_n_u16(vld1q_u16(p->above + x), above), vld1q_u16(p->below + x), below);
    const uint16x8_t high = vmlaq_n_u16(vmulq_n_u16(vld1q_u16(p->above + x + 8), above), vld1q_u16(p->below + x + 8), below);
    return f == 4 ? vrshrn_high_n_u16(vrshrn_n_u16(low, 6), high, 6) : vrshrn_high_n_u16(vrshrn_n_u16(low, 4), high, 4);
}

/* As `weighed`: with n = product + 128, (n + n / 256) / 256, rounded down. */
INLINE uint8x16_t weighed_block(uint8x16_t d, uint8x16_t weight)
{
    const uint16x8_t low = vmull_u8(vget_low_u8(d), vget_low_u8(weight)), high = vmull_high_u8(d, weight);
    return vraddhn_high_u16(vraddhn_u16(low, vrshrq_n_u16(low, 8)), high, vrshrq_n_u16(high, 8));
}

typedef struct {
    uint8x16_t positive, negative; /* parts of a detail, one of which is 0 */
} Detail;

INLINE Detail detail_block(const int weighs, uint8x16_t frame, uint8x16_t base, uint8x16_t weight)
{
    if (!weighs) return (Detail){vqsubq_u8(frame, base), vqsubq_u8(base, frame)};
    const uint8x16_t size = weighed_block(vabdq_u8(frame, base), weight), larger = vcgtq_u8(frame, base);
    return (Detail){vandq_u8(size, larger), vbicq_u8(size, larger)};
}

/* Returns `fused` plus the chosen detail, as `choose`. Of the chosen detail's two parts one is 0, so they are treated as one. */
INLINE uint8x16_t chosen_block(const Job *j, const int noisy, Detail a, Detail b, uint8x16_t fused)
{
    const uint8x16_t p = vmaxq_u8(a.positive, b.positive), n = vmaxq_u8(a.negative, b.negative), rises = vcgtq_u8(p, n);
    uint8x16_t d = vabdq_u8(p, n);
    if (noisy) {
        const uint8x16_t smaller = vbslq_u8(rises, vminq_u8(a.positive, b.positive), vminq_u8(a.negative, b.negative));
        d = vsubq_u8(d, vminq_u8(vshrq_n_u8(vqsubq_u8(d, smaller), 1), vdupq_n_u8((u8)j->noise)));
    }
    const uint8x16_t above = vqsubq_u8(d, vdupq_n_u8((u8)j->core)), gain = vdupq_n_u8((u8)j->gain);
    const uint16x8_t low = vmull_u8(vget_low_u8(above), vget_low_u8(gain)), high = vmull_high_u8(above, gain);
    d = vqaddq_u8(d, vshrn_high_n_u16(vshrn_n_u16(low, 4), high, 4));
    return vbslq_u8(rises, vqaddq_u8(fused, d), vqsubq_u8(fused, d));
}

/* Writes 16 pixels in colour: BGR = fused luma + weighted chroma, as `lumas` and `colour`. */
INLINE void colour_block(const Job *j, const u8 *restrict bgr, uint8x16_t fused, u8 *restrict out)
{
    const uint8x16_t parts[3] = {vdupq_n_u8((u8)j->blue), vdupq_n_u8((u8)j->green), vdupq_n_u8((u8)j->red)}, chroma = vdupq_n_u8((u8)j->chroma);
    const uint8x16x3_t pixels = vld3q_u8(bgr);
    uint16x8_t low = vmull_u8(vget_low_u8(pixels.val[0]), vget_low_u8(parts[0])), high = vmull_high_u8(pixels.val[0], parts[0]);
#pragma GCC unroll 2
    for (int c = 1; c < 3; c++) {
        low = vmlal_u8(low, vget_low_u8(pixels.val[c]), vget_low_u8(parts[c]));
        high = vmlal_high_u8(high, pixels.val[c], parts[c]);
    }
    /* both at most 128 * 255, so that differences fit into 16 bits with a sign */
    uint8x16x3_t made = pixels;
#pragma GCC unroll 3
    for (int c = 0; c < 3; c++) {
        const int16x8_t less_low = vreinterpretq_s16_u16(vmlsl_u8(low, vget_low_u8(pixels.val[c]), vget_low_u8(chroma)));
        const int16x8_t less_high = vreinterpretq_s16_u16(vmlsl_high_u8(high, pixels.val[c], chroma));
        const uint8x16_t less = vqrshrun_high_n_s16(vqrshrun_n_s16(less_low, 7), less_high, 7);
        const uint8x16_t more = vqrshrun_high_n_s16(vqrshrun_n_s16(vnegq_s16(less_low), 7), vnegq_s16(less_high), 7);
        made.val[c] = vqsubq_u8(vqaddq_u8(fused, more), less);
    }
    vst3q_u8(out, made);
}

/* Blends one row. planes: visible, infrared, fused, weights of the visible and of the infrared details. */
INLINE void blend_row(const Job *j, const int f, const int noisy, const int weighs_a, const int weighs_b, const Plane planes[PLANES], int y, u16 above,
                      u16 below)
{
    const u8 *restrict visible = j->visible + (ptrdiff_t)y * j->width, *restrict infrared = j->infrared + (ptrdiff_t)y * j->width;
    const u8 *restrict bgr = j->bgr ? j->bgr + (ptrdiff_t)(y * j->bgr_stride) : NULL;
    u8 *restrict out = j->out + (ptrdiff_t)(y * j->out_stride);
    const Plane own[PLANES] = {planes[0], planes[1], planes[2], planes[3], planes[4]};
    const Job job = *j;
    for (int begin = 0; begin < job.out_width; begin += BLOCK) {
        /* the last block may overlap the one before it */
        const int x = begin + BLOCK <= job.out_width ? begin : job.out_width - BLOCK;
        const uint8x16_t weight_a = weighs_a ? enlarged_block(f, &own[3], x, above, below) : vdupq_n_u8(0);
        const uint8x16_t weight_b = weighs_b ? enlarged_block(f, &own[4], x, above, below) : vdupq_n_u8(0);
        const Detail a = detail_block(weighs_a, vld1q_u8(visible + x), enlarged_block(f, &own[0], x, above, below), weight_a);
        const Detail b = detail_block(weighs_b, vld1q_u8(infrared + x), enlarged_block(f, &own[1], x, above, below), weight_b);
        const uint8x16_t fused = chosen_block(&job, noisy, a, b, enlarged_block(f, &own[2], x, above, below));
        if (bgr)
            colour_block(&job, bgr + 3 * x, fused, out + 3 * x);
        else
            vst1q_u8(out + x, fused);
    }
}

INLINE void blend_rows(const Job *j, const int f, const int noisy, const int weighs_a, const int weighs_b, int top, int bottom, u8 *scratch)
{
    const int rows = j->height / f, columns = j->width / f, length = j->width + PADDING;
    const u8 *small[PLANES] = {j->small_visible, j->small_infrared, j->small_fused, j->visible_weights, j->infrared_weights};
    u16 *stretched = (u16 *)(void *)scratch;
    u8 *edged = scratch + (ptrdiff_t)2 * PLANES * length * (ptrdiff_t)sizeof *stretched;
    Plane planes[PLANES];
    for (int p = 0; p < PLANES; p++)
        planes[p] = (Plane){small[p], stretched + (ptrdiff_t)2 * p * length, stretched + (ptrdiff_t)(2 * p + 1) * length};
    int last = -2;
    for (int y = top; y < bottom; y++) {
        /* at / 2f is the distance of the row's centre from the first small row's centre */
        const int at = 2 * y + 1 - f, k = at < 0 ? -1 : at / (2 * f);
        const u16 below = (u16)(at - 2 * f * k), above = (u16)(2 * f - below);
        if (k != last) {
            const ptrdiff_t lower = (ptrdiff_t)(k + 1 < rows ? k + 1 : rows - 1) * columns, upper = (ptrdiff_t)(k < 0 ? 0 : k) * columns;
            for (int p = 0; p < PLANES; p++) {
                if (!planes[p].small) continue;
                u16 *const kept = planes[p].below;
                planes[p].below = planes[p].above;
                planes[p].above = kept;
                if (y == top) stretch(f, planes[p].small + upper, columns, edged, planes[p].above);
                stretch(f, planes[p].small + lower, columns, edged, planes[p].below);
            }
            last = k;
        }
        blend_row(j, f, noisy, weighs_a, weighs_b, planes, y, above, below);
    }
}

/* Blends rows top to bottom, where the picture is at least BLOCK pixels wide. */
INLINE void blend_in_blocks(const Job *j, int top, int bottom, u8 *scratch)
{
#define CASE(f, noisy, a, b)                                                                                                             \
    case 8 * (f == 4) + 4 * noisy + 2 * a + b: blend_rows(j, f, noisy, a, b, top, bottom, scratch); break;
#define CASES(f, noisy) CASE(f, noisy, 0, 0) CASE(f, noisy, 0, 1) CASE(f, noisy, 1, 0) CASE(f, noisy, 1, 1)
    switch (8 * (j->factor == 4) + 4 * (j->noise != 0) + 2 * (j->visible_weights != NULL) + (j->infrared_weights != NULL)) {
        CASES(2, 0) CASES(2, 1) CASES(4, 0) CASES(4, 1)
    }
#undef CASES
#undef CASE
}

INLINE int block_scratch(int width) { return 2 * PLANES * (width + PADDING) * (int)sizeof(u16) + width + PADDING; }

#endif
