# Makes the checkpoints of this folder with PyTorch itself: python3 make.py
# (written with PyTorch 1.13; the values are those that torchfile_test.go expects).
import collections
import torch


def ramp(*shape, dtype=torch.float32):
    n = 1
    for d in shape:
        n *= d
    return (torch.arange(n) % 100).to(dtype).reshape(shape)


class Linear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(ramp(2, 3))


def all_kinds():
    base = ramp(6, 4)
    return collections.OrderedDict(
        f32=ramp(3, 5), f16=ramp(2, 2, dtype=torch.float16), bf16=ramp(4, dtype=torch.bfloat16), f64=ramp(2, dtype=torch.float64),
        i64=ramp(3, dtype=torch.int64), i32=ramp(3, dtype=torch.int32), i16=ramp(3, dtype=torch.int16), i8=ramp(3, dtype=torch.int8),
        u8=ramp(3, dtype=torch.uint8), bool=torch.tensor([True, False, True]), scalar=torch.tensor(2.5), empty=torch.zeros(0, 3),
        turned=base.t(), part=base[2:4, 1:3], shared=base, column=base[:, 1], cube=ramp(2, 3, 4).permute(2, 0, 1),
        parameter=torch.nn.Parameter(ramp(2)),
    )


torch.save(all_kinds(), "kinds.bin")
torch.save(all_kinds(), "kinds4.bin", pickle_protocol=4)
torch.save(Linear().state_dict(), "state_dict.bin")
torch.save(dict(all_kinds()), "dict.bin")
torch.save({"x": ramp(2)}, "legacy.bin", _use_new_zipfile_serialization=False)
torch.save({"x": torch.quantize_per_tensor(ramp(2), 0.5, 0, torch.qint8)}, "quantized.bin")
torch.save(Linear(), "module.bin")
torch.save({"model": {"x": ramp(2)}}, "nested.bin")
torch.save({"x": ramp(1).expand(2, 3)}, "expanded.bin")
