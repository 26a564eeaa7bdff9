#!/usr/bin/env bash
# demo_page.sh FOLDER: one page, FOLDER/index.html, of what tools/demo.sh made there. It needs no other file.
set -eu
cd "$1"

data() { # data KIND FILE
    printf 'data:%s;base64,' "$1"
    base64 -w0 "$2"
}
row() { # row WORDS FOLDER
    local picture
    printf '<tr><th>%s</th>' "$1"
    for picture in "$2"/*.png; do
        printf '<td><img alt="" src="%s"></td>' "$(data image/png "$picture")"
    done
    printf '</tr>\n'
}
film() { # film FILE
    printf '<video autoplay loop muted playsinline src="%s"></video>\n' "$(data video/mp4 "$1")"
}
# The chart of skill, with its legend, out of the evaluation's page.
chart() {
    awk '/<ul class="legend">/ && !legend { print; legend = 1 }
        /<figure class="chart"/ && /<figcaption>skill/ && !done { print; open = 1; done = 1; if (/<\/figure>/) open = 0; next }
        open { print; if (/<\/figure>/) open = 0 }' evaluation.html
}

{
    cat <<'END'
<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>inbetween: the demo</title>
<style>
END
    sed -n '/<style>/,/<\/style>/p' evaluation.html | sed 's/.*<style>//; s/<\/style>.*//'
    cat <<'END'
table.strip{border-collapse:collapse}.strip th{font-weight:400;text-align:right;padding:0 .7rem;width:13rem;white-space:normal}.strip td{padding:2px}
.strip img{width:80px;max-width:9vw;image-rendering:pixelated;display:block}video{width:320px;image-rendering:pixelated}
#pixels video{width:100%;max-width:768px}.one{max-width:30rem}
</style>
<main>
<h1>A text-to-image model makes films</h1>
<p class="lead">A tiny CLIP and a tiny diffusion model, which come with the program; an in-between model that was just trained on
40 videos. All pictures are of a video that it has never seen, or of words.</p>
<h2>From picture to picture</h2>
<table class="strip">
END
    row "what was filmed" filmed
    row "drawn from the true frames' embeddings: the best that this renderer can do" ceiling
    row "drawn from slerp's embeddings" slerp
    row "drawn from the in-between model's embeddings" adapter
    cat <<'END'
</table>
<p class="soft">First and last picture of the lower rows are the keyframes. The middle one starts from noise: all that it knows is an
embedding of 128 numbers. The others start from the pixel model's in-between with less noise, the nearer they are to a keyframe.</p>
<p>The film as <code>inbetween render</code> makes it: frames start from the pixel model's in-between.</p>
END
    film pictures.mp4
    cat <<'END'
<h2>From prompt to prompt</h2>
<p>&ldquo;a large red circle at the left on a gray background&rdquo; to &ldquo;a large red circle at the right on a gray
background&rdquo;. Both are drawn first and are keyframes from then on. They are far apart, so the middle frame starts from noise alone.</p>
<table class="strip">
END
    row "" prompts
    printf '</table>\n'
    film prompts.mp4
    printf '<h2>How much of slerp&rsquo;s error is gone</h2>\n<p>On the videos that were left out, in the CLIP&rsquo;s space.</p>\n'
    printf '<div class="one">\n'
    chart
    printf '</div>\n<section id="pixels"><h2>In pixels</h2>\n<p>The default adapter, without any text-image model: slerp on the left, '
    printf 'the adapter on the right.</p>\n'
    film pixels.mp4
    printf '</section></main></html>\n'
} >index.html.part
mv index.html.part index.html
