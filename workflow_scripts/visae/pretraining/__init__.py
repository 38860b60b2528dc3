"""Pretraining of small backbones by the paradigms that the paper compares (section 3).

No pretrained weights can be assumed on a newcomer's machine, and random ones make figures that
mean nothing. A study may therefore pretrain its own backbones before anything is extracted, on
its own training split: the same images, views, steps, batches and optimiser for each, and only
what a paradigm is made of differs.
"""
