# One LoRA training step of Llama-3.2-1B's shape in PyTorch, weights and adapters in bfloat16:
# peer.py THREADS TOKENS STEPS CHECKPOINT(0 or 1). Prints tokens/s of each step.
import sys, time, torch, torch.nn as nn, torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
threads, T, steps, ckpt = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1"
torch.set_num_threads(threads); torch.manual_seed(0)
D, I, L, H, K, hd, V, r, scale = 2048, 8192, 16, 32, 8, 64, 128256, 8, 20.0
bf = torch.bfloat16
class LoRA(nn.Module):
    def __init__(s, i, o):
        super().__init__()
        s.w = nn.Parameter(torch.empty(o, i, dtype=bf).normal_(0, .02), requires_grad=False)
        s.a = nn.Parameter(torch.empty(r, i, dtype=bf).uniform_(-i**-.5, i**-.5)); s.b = nn.Parameter(torch.zeros(o, r, dtype=bf))
    def forward(s, x): return F.linear(x, s.w) + scale * F.linear(F.linear(x, s.a), s.b)
def norm(x, w): 
    f = x.float(); return (f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + 1e-5)).to(bf) * w
class Block(nn.Module):
    def __init__(s):
        super().__init__()
        s.q, s.k, s.v, s.o = LoRA(D, H*hd), LoRA(D, K*hd), LoRA(D, K*hd), LoRA(H*hd, D)
        s.g, s.u, s.d = LoRA(D, I), LoRA(D, I), LoRA(I, D)
        s.n1 = nn.Parameter(torch.ones(D, dtype=bf), requires_grad=False); s.n2 = nn.Parameter(torch.ones(D, dtype=bf), requires_grad=False)
    def forward(s, x, cos, sin, mask):
        B, T, _ = x.shape; h = norm(x, s.n1)
        q = s.q(h).view(B, T, H, hd).transpose(1, 2); k = s.k(h).view(B, T, K, hd).transpose(1, 2); v = s.v(h).view(B, T, K, hd).transpose(1, 2)
        rot = lambda t: t * cos + torch.cat((-t[..., hd//2:], t[..., :hd//2]), -1) * sin
        q, k = rot(q), rot(k); k = k.repeat_interleave(H//K, 1); v = v.repeat_interleave(H//K, 1)
        w = F.softmax((q @ k.transpose(2, 3) * hd**-.5 + mask).float(), -1).to(bf)
        x = x + s.o((w @ v).transpose(1, 2).reshape(B, T, H*hd)); h = norm(x, s.n2)
        return x + s.d(F.silu(s.g(h)) * s.u(h))
blocks = nn.ModuleList(Block() for _ in range(L)); emb = torch.empty(V, D, dtype=bf).normal_(0, .02); nf = torch.ones(D, dtype=bf)
opt = torch.optim.Adam([p for p in blocks.parameters() if p.requires_grad], 1e-5)
ang = torch.arange(T)[:, None] * (500000.0 ** (-torch.arange(0, hd, 2) / hd))[None]; ang = torch.cat((ang, ang), -1); cos, sin = ang.cos().to(bf), ang.sin().to(bf)
mask = torch.full((T, T), float("-inf")).triu(1).to(bf); ids = torch.randint(0, 2000, (1, T+1))
for i in range(steps):
    t0 = time.time(); x = emb[ids[:, :-1]]
    if ckpt: x.requires_grad_(True)
    for b in blocks: x = checkpoint(b, x, cos, sin, mask) if ckpt else b(x, cos, sin, mask)
    loss = F.cross_entropy(F.linear(norm(x, nf), emb).float()[0], ids[0, 1:]); opt.zero_grad(); loss.backward(); opt.step(); l = loss.item()
    print(f"torch threads {threads} ckpt {ckpt} step {i} loss {l:.3f} {T/(time.time()-t0):.2f} tokens/s", flush=True)
import resource; print("torch peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e6, "GB")
