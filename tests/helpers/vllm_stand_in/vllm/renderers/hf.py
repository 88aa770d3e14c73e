def resolve_chat_template(tokenizer, chat_template, tools, model_config):
    return tokenizer.get_chat_template(chat_template, tools=tools)
