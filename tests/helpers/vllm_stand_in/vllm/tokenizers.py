from transformers import AutoTokenizer


def get_tokenizer(name, tokenizer_mode, trust_remote_code, revision, **options):
    return AutoTokenizer.from_pretrained(name, revision=revision, **options)
