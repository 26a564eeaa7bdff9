"""IP-Adapters in the layout of h94/IP-Adapter, and the attention that uses them while they learn.

An adapter's file has image_proj.* and ip_adapter.N.to_k_ip.weight, to_v_ip; N is odd and counts the attentions to a
context: those of the way down, then up, then the middle's.
"""
import torch
import torch.nn.functional as F
from torch import nn

HEAD = 64  # width of a head in Plus


class Pooled(nn.Module):
    """Base: a few tokens from an embedding. [n,D] -> [n,tokens,context]."""

    def __init__(self, width, context, tokens=4):
        super().__init__()
        self.proj, self.norm, self.tokens = nn.Linear(width, tokens * context), nn.LayerNorm(context), tokens

    def forward(self, z):
        return self.norm(self.proj(z).view(len(z), self.tokens, -1))


class Look(nn.Module):
    """Learnt queries look at hidden tokens and at themselves."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, HEAD * heads, bias=False)
        self.to_kv = nn.Linear(width, 2 * HEAD * heads, bias=False)
        self.to_out = nn.Linear(HEAD * heads, width, bias=False)

    def forward(self, x, latents):
        latents = self.norm2(latents)
        q = self.to_q(latents)
        k, v = self.to_kv(torch.cat([self.norm1(x), latents], 1)).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (self.heads, HEAD)).transpose(1, 2) for t in (q, k, v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Plus(nn.Module):
    """A perceiver on the image tower's hidden tokens. [n,T,W] -> [n,tokens,context]. diffusers expects four layers, and
    four times the width within."""

    def __init__(self, width, context, tokens=16, hidden=64, heads=2, layers=4):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, tokens, hidden) / hidden ** 0.5)
        self.proj_in, self.proj_out = nn.Linear(width, hidden), nn.Linear(hidden, context)
        self.norm_out = nn.LayerNorm(context)
        self.layers = nn.ModuleList(nn.ModuleList([Look(hidden, heads), nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, 4 * hidden, bias=False), nn.GELU(),
            nn.Linear(4 * hidden, hidden, bias=False))]) for _ in range(layers))

    def forward(self, x):
        x, latents = self.proj_in(x), self.latents.expand(len(x), -1, -1)
        for look, think in self.layers:
            latents = latents + look(x, latents)
            latents = latents + think(latents)
        return self.norm_out(self.proj_out(latents))


class Adapter(nn.Module):
    """image_proj: Pooled or Plus. unet: whose attentions it belongs to."""

    def __init__(self, image_proj, unet):
        super().__init__()
        self.image_proj = image_proj
        self.ip_adapter = nn.ModuleDict()
        for i, (_, attention) in enumerate(attentions(unet)):
            self.ip_adapter[str(2 * i + 1)] = nn.ModuleDict({
                name: nn.Linear(attention.to_k.in_features, attention.to_k.out_features, bias=False)
                for name in ("to_k_ip", "to_v_ip")})


def attentions(unet):
    """Those that look at a context, in the order of the files."""
    order = {"down_blocks": 0, "up_blocks": 1, "mid_block": 2}
    named = [(n, m) for n, m in unet.named_modules() if n.endswith(".attn2")]
    return sorted(named, key=lambda nm: order[nm[0].split(".")[0]])


class Attention:
    """diffusers' attention with an adapter beside the text. The adapter comes with each call as `ip`: (adapter,
    tokens [n,t,context], scale [n,1,1]); a scale of 0 is a model without adapter."""

    def __init__(self, number=None):
        self.number = number

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, ip=None, **_):
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        split = lambda t: t.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        q = split(attn.to_q(hidden_states))
        out = F.scaled_dot_product_attention(q, split(attn.to_k(context)), split(attn.to_v(context)))
        out = out.transpose(1, 2).flatten(2)
        if ip is not None and self.number is not None:
            adapter, tokens, scale = ip
            own = adapter.ip_adapter[str(self.number)]
            seen = F.scaled_dot_product_attention(q, split(own["to_k_ip"](tokens)), split(own["to_v_ip"](tokens)))
            out = out + scale * seen.transpose(1, 2).flatten(2)
        return attn.to_out[0](out)


def install(unet):
    numbers = {n: 2 * i + 1 for i, (n, _) in enumerate(attentions(unet))}
    unet.set_attn_processor({n: Attention(numbers.get(n.removesuffix(".processor"))) for n in unet.attn_processors})
    return unet
