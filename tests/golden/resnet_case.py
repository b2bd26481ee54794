"""A small Hugging Face ResNetModel. Its golden files:

    python golden_dump.py resnet_case.py:case resnet.safetensors
    python golden_dump.py resnet_case.py:case resnet_training.safetensors --train
"""
import torch
from transformers import ResNetConfig, ResNetModel


def case():
    torch.manual_seed(0)
    model = ResNetModel(ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 2], layer_type="basic"))
    with torch.no_grad():  # initial gains, biases and statistics are zeros and ones, which hide errors
        for name, tensor in model.state_dict().items():
            if "normalization" in name and tensor.is_floating_point():
                tensor.add_(0.3 * torch.rand_like(tensor))
    return model, {"pixel_values": torch.randn(3, 3, 20, 20)}, "pooler_output"
